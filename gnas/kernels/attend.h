/* Attentions as part of a mixture, whose values they add to; included by rows.h.
 *
 * Both versions share what is summed, so that their backward pass is one: the products of a row's gradient with its
 * neighbours serve both, and so does the one sum of what the neighbours get. A row's neighbours are those of the pattern
 * without self-loops, and the row itself, first. */

enum { FIRST = 1, SECOND = 2 };
/* What is kept of each row and head, [6, rows, heads]: both halves of the first version's logits, then for either
 * version the largest logit, and one over the sum of the exponentials behind it. */
enum { SOURCE, TARGET, PEAK };

/* Partial sums go over to double. */
static void empty(T *partial, int64_t size, double *totals) {
    for (int64_t c = 0; c < size; c++) totals[c] += partial[c];
    memset(partial, 0, size * sizeof(T));
}

/* The next neighbours of a row, as many as fit; none when all have been. */
INLINE int64_t neighbours(const Side *s, int64_t i, int64_t *e, int64_t most, int32_t *column) {
    int64_t count = 0;
    if (*e < 0) {
        column[count++] = i;
        *e = s->pointer[i];
    }
    for (; *e < s->pointer[i + 1] && count < most; ++*e)
        if (s->column[*e] != i) column[count++] = s->column[*e];
    for (int k = 0; k < AHEAD; k++) column[count + k] = i;
    return count;
}
#define EACH_NEIGHBOURS(most) for (int64_t e = -1, count; (count = neighbours(&s, i, &e, most, column));)

/* Both halves of the first version's logits: <att_h, z_ih>. */
void attend_logits(const int32_t *pattern, int64_t rows, int64_t entries, int64_t heads, int64_t width, const T *att,
                   const T *z, T *kept, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, rows, entries, 0);
    const int32_t here[1 + AHEAD] = {0};
    int64_t first, last, all = heads * width;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        for (int64_t i = first; i < last; i++)
            for (int half = SOURCE; half <= TARGET; half++)
                EACH_BLOCK(width, 0)
                    b->match(here, 1, att + half * all + f, heads, width, 0, z + i * all + f,
                             kept + (half * rows + i) * heads, f > 0);
}

/* out_i += sum_k w_k attention_k(z)_i, and the sum of squares of each, [2, columns], a column for each range. Room for a
 * row a range. */
void attend(const int32_t *pattern, int64_t rows, int64_t entries, int64_t kinds, const T *weight, int64_t heads,
            int64_t width, double slope, const T *att, const T *z, T *kept, T *room, T *out, double *totals,
            int64_t columns, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, rows, entries, 0);
    int64_t first, last, number, most = SCRATCH / heads, all = heads * width, plane = rows * heads;
    T logit[SCRATCH], by[SCRATCH], square[SCRATCH];
    int32_t column[SCRATCH + AHEAD];
    while ((number = take(&s, ranges, counter, &first, &last)) >= 0) {
        T *to = room + number * all;
        for (int64_t i = first; i < last; i++)
            for (int k = 0; k < 2; k++) {
                if (!(kinds & 1 << k)) continue;
                const T *source = kept + SOURCE * plane, *target = kept + TARGET * plane + i * heads;
                T *top = kept + (PEAK + 2 * k) * plane + i * heads, *total = top + plane;
                int more = 0;
                EACH_NEIGHBOURS(most) {
                    if (k) EACH_BLOCK(width, 0)
                        b->score(column, count, att + 2 * all + f, z + i * all + f, heads, width, all, z + f, slope,
                                 logit, f > 0);
                    EACH_BLOCK(heads, 0)
                        b->soften(column, count, heads, target + f, k ? 0 : source + f, heads, slope, more, logit + f,
                                  top + f, total + f, by + f);
                    if (more) scale_down(heads, width, by, to);
                    EACH_BLOCK(width, 0) b->weigh(column, count, logit, heads, width, all, z + f, to + f, more);
                    more = 1;
                }
                for (int64_t h = 0; h < heads; h++) total[h] = 1 / (total[h] + (T)1e-16);
                EACH_BLOCK(width, 0)
                    b->finish(heads, width, total, weight[k], to + f, out + i * all + f, square, f > 0);
                if (totals)
                    for (int64_t h = 0; h < heads; h++) totals[k * columns + number] += square[h];
            }
    }
}

/* Gradients, added to to_z; and in double to the weights, [2, columns], a column for each head, and to att, [3, heads, width], with as much room
 * for partial sums in T. The threads share out the heads, since rows add to the same neighbours, and what they write often
 * lies apart. */
void attend_back(const int32_t *pattern, int64_t rows, int64_t entries, int64_t kinds, const T *weight, int64_t heads,
                 int64_t width, double slope, const T *att, const T *z, const T *kept, const T *grad, T *to_logits,
                 T *to_z, T *room, double *to_att, double *totals, int64_t columns, int64_t ranges,
                 int64_t *counter) {
    Side s = side(pattern, rows, rows, entries, 0);
    int64_t step = (heads + ranges - 1) / ranges, all = heads * width, plane = rows * heads, start;
    T p[2][SCRATCH], product[SCRATCH], d[SCRATCH], sum[SCRATCH], inner[2][SCRATCH], unread[SCRATCH];
    int32_t column[SCRATCH + AHEAD];
    while ((start = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED) * step) < heads) {
        int64_t own = start + step < heads ? step : heads - start, at = start * width, most = SCRATCH / heads;
        const T *by = att + 2 * all + at, *source = kept + SOURCE * plane + start;
        T *to_source = to_logits + 2 * rows * start, *to_target = to_source + rows * own;
        double found[2][SCRATCH] = {};
        for (int64_t i = 0; i < rows; i++) {
            const T *mine = z + i * all + at, *g = grad + i * all + at;
            int64_t head = i * heads;
            const T *target = kept + TARGET * plane + start + head;
            /* What the softmax subtracts is known after a row; its chunks are looked at twice where there are many. */
            int many = s.pointer[i + 1] - s.pointer[i] >= most;
            for (int64_t h = 0; h < own; h++) inner[0][h] = inner[1][h] = 0;
            for (int look = !many; look < 2; look++)
                EACH_NEIGHBOURS(most) {
                    if (kinds & SECOND) EACH_BLOCK(width, 0)
                        b->score(column, count, by + f, mine + f, own, width, all, z + at + f, slope, p[1], f > 0);
                    EACH_BLOCK(width, 0) b->match(column, count, g + f, own, width, all, z + at + f, product, f > 0);
                    for (int k = 0; k < 2; k++) {
                        if (!(kinds & 1 << k)) continue;
                        const T *peak = kept + (PEAK + 2 * k) * plane + start + head, *scale = peak + plane;
                        T *tilt = many && look ? unread : inner[k];
                        EACH_BLOCK(own, 0)
                            b->resoften(column, count, own, target + f, k ? 0 : source + f, heads, slope, peak + f,
                                        scale + f, product + f, p[k] + f, tilt + f);
                    }
                    if (!look) continue;
                    if (kinds & FIRST) EACH_BLOCK(own, 0)
                        b->turn(column, count, own, target + f, source + f, heads, slope, weight[0], inner[0] + f,
                                p[0] + f, product + f, sum + f, 0, own, to_target + i * own + f, to_source + f, 0);
                    if (kinds & SECOND) EACH_BLOCK(own, 0)
                        b->turn(column, count, own, 0, 0, 0, slope, weight[1], inner[1] + f, p[1] + f, product + f,
                                sum + f, kinds & FIRST, 0, 0, 0, d + f);
                    EACH_BLOCK(width, 0)
                        b->spread(column, count, sum, kinds & SECOND ? d : 0, by + f, mine + f, own, width, all,
                                  z + at + f, slope, g + f, to_z + at + f, to_z + i * all + at + f,
                                  room + 2 * all + at + f);
                }
            for (int k = 0; k < 2; k++)
                for (int64_t h = 0; h < own; h++) found[k][h] += inner[k][h];
            if (i % 64 == 63 || i == rows - 1) empty(room + 2 * all + at, own * width, to_att + 2 * all + at);
        }
        for (int k = 0; k < 2; k++)
            for (int64_t h = 0; h < own; h++) totals[k * columns + start + h] = found[k][h];
        if (!(kinds & FIRST)) continue;
        for (int64_t i = 0; i < rows; i++) {
            const T *to_half[] = {to_source + i * own, to_target + i * own};
            for (int half = SOURCE; half <= TARGET; half++) {
                int64_t there = half * all + at;
                EACH_BLOCK(width, 0)
                    b->unmatch(to_half[half], att + there + f, own, width, z + i * all + at + f, to_z + i * all + at + f,
                               room + there + f);
                if (i % 64 == 63 || i == rows - 1) empty(room + there, own * width, to_att + there);
            }
        }
    }
}
#undef EACH_NEIGHBOURS
