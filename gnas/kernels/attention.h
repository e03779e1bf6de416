/* Attention; included by rows.h.
 *
 * The forward passes keep the largest logit of each row and head (peak), and one over the sum of the exponentials
 * (scale). From these the backward passes compute any weight again, so that nothing of [entries, heads] outlives a
 * chunk of a row. Where keep is given, [entries, heads], a weight counts so many times what the softmax gives it. */

#define EACH_CHUNK(begin, end) \
    for (int64_t e = begin, count; count = end - e < chunk ? end - e : chunk, e < end; e += count)

/* Divide the sums by the sums of weights, and keep what they were divided by. */
static void divide(int64_t heads, int64_t width, T *total, T *to) {
    for (int64_t h = 0; h < heads; h++) {
        T scale = total[h] = 1 / (total[h] + (T)1e-16);
        for (int64_t c = 0; c < width; c++) to[h * width + c] *= scale;
    }
}

/* x_kh *= keep_kh for the entries from number e of a side on. */
static void thin(const Side *s, int64_t e, int64_t count, int64_t heads, const T *keep, T *x) {
    for (int64_t k = 0; k < count; k++) {
        const T *from = keep + (s->order ? s->order[e + k] : e + k) * heads;
        for (int64_t h = 0; h < heads; h++) x[k * heads + h] *= from[h];
    }
}

/* What was summed before a larger logit was met counts less. */
static void scale_down(int64_t heads, int64_t width, const T *by, T *to) {
    for (int64_t h = 0; h < heads; h++)
        for (int64_t c = 0; c < width; c++) to[h * width + c] *= by[h];
}

/* logit_k = leaky_relu(own + other_k + edge_k) for the entries from number e of a side on. */
static void lift(const Side *s, int64_t e, int64_t count, int64_t heads, const T *own, const T *other, const T *edge,
                 T slope, T *logit) {
    for (int64_t k = 0; k < count; k++) {
        const T *from = other + s->column[e + k] * heads, *along = edge + (s->order ? s->order[e + k] : e + k) * heads;
        for (int64_t h = 0; h < heads; h++) {
            T v = own[h] + from[h] + along[h];
            logit[k * heads + h] = v > 0 ? v : slope * v;
        }
    }
}

/* The gradient before that leaky ReLU, summed over the entries, and of each where they are asked for. */
static void lower_back(int64_t count, int64_t heads, const T *logit, T slope, const T *d, T *to_own, T *to_edge) {
    for (int64_t k = 0; k < count * heads; k++) {
        T g = logit[k] > 0 ? d[k] : slope * d[k];
        to_own[k % heads] += g;
        if (to_edge) to_edge[k] = g;
    }
}

/* Logits leaky_relu(source_j + target_i), whose largest is known once the largest source is; or with edge, [entries,
 * heads], leaky_relu(source_j + target_i + edge_ij), whose largest is not. */
void attention(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t heads, int64_t width,
               double slope, const T *source, const T *target, const T *edge, const T *z, const T *keep, T *out, T *peak,
               T *scale, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last, chunk = SCRATCH / heads, all = heads * width;
    T logit[SCRATCH + WIDEST], by[SCRATCH];
    while (take(&s, ranges, counter, &first, &last) >= 0)
        for (int64_t i = first; i < last; i++) {
            int64_t begin = s.pointer[i], end = s.pointer[i + 1];
            const T *own = target + i * heads;
            T *top = peak + i * heads, *total = scale + i * heads, *to = out + i * all;
            memset(total, 0, heads * sizeof(T));
            if (begin == end) {
                memset(top, 0, heads * sizeof(T));
                memset(to, 0, all * sizeof(T));
                continue;
            }
            if (!edge) {
                memcpy(top, source + s.column[begin] * heads, heads * sizeof(T));
                EACH_BLOCK(heads, 0) b->largest(s.column + begin, end - begin, heads, source + f, top + f);
                for (int64_t h = 0; h < heads; h++) {
                    T v = top[h] + own[h];
                    top[h] = v > 0 ? v : (T)slope * v;
                }
            }
            EACH_CHUNK(begin, end) {
                const int32_t *column = s.column + e;
                if (edge) {
                    lift(&s, e, count, heads, own, source, edge, slope, logit);
                    EACH_BLOCK(heads, 0)
                        b->soften(column, count, heads, 0, 0, 0, slope, e > begin, logit + f, top + f, total + f,
                                  by + f);
                    if (e > begin) scale_down(heads, width, by, to);
                } else {
                    EACH_BLOCK(heads, 0)
                        b->lower(column, count, heads, own + f, source + f, heads, slope, top + f, 0, logit + f);
                    exponential(logit, count * heads);
                    EACH_BLOCK(heads, 0) b->add(count, heads, logit + f, total + f);
                }
                if (keep) thin(&s, e, count, heads, keep, logit);
                EACH_BLOCK(width, 0) b->weigh(column, count, logit, heads, width, all, z + f, to + f, e > begin);
            }
            divide(heads, width, total, to);
        }
}

/* inner_ih = <grad_ih, out_ih>, which the gradient of the softmax subtracts. */
static void own_products(int64_t first, int64_t last, int64_t heads, int64_t width, const T *grad, const T *out,
                         T *inner) {
    const int32_t here[1 + AHEAD] = {0};
    for (int64_t i = first; i < last; i++) {
        const T *left = grad + i * heads * width, *right = out + i * heads * width;
        EACH_BLOCK(width, 0) b->match(here, 1, left + f, heads, width, 0, right + f, inner + i * heads, f > 0);
    }
}

/* Gradients: to the target's half of a logit by rows, to the source's half and to z by columns. In both, the own
 * half belongs to the row (column) i, the other to its neighbours. By rows, too, to the edges' part of a logit. */
void attention_back(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t by_columns,
                    int64_t heads, int64_t width, double slope, const T *source, const T *target, const T *edge,
                    const T *z, const T *keep, const T *out, const T *grad, const T *peak, const T *scale, T *inner,
                    T *to_own, T *to_z, T *to_edge, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, by_columns);
    const T *own = by_columns ? source : target, *other = by_columns ? target : source;
    const T *left = by_columns ? z : grad, *right = by_columns ? grad : z;
    int64_t first, last, chunk = SCRATCH / heads, all = heads * width, step = by_columns ? heads : 0;
    T weight[SCRATCH + WIDEST], d[SCRATCH], logit[SCRATCH];
    while (take(&s, ranges, counter, &first, &last) >= 0) {
        if (!by_columns) own_products(first, last, heads, width, grad, out, inner);
        for (int64_t i = first; i < last; i++) {
            int64_t mine = i * heads, row = by_columns ? 0 : mine;
            memset(to_own + mine, 0, heads * sizeof(T));
            if (by_columns) memset(to_z + i * all, 0, all * sizeof(T));
            EACH_CHUNK(s.pointer[i], s.pointer[i + 1]) {
                const int32_t *column = s.column + e;
                if (edge) {
                    lift(&s, e, count, heads, own + mine, other, edge, slope, logit);
                    memcpy(weight, logit, count * heads * sizeof(T));
                }
                EACH_BLOCK(heads, 0)
                    b->lower(column, count, heads, own + mine + f, edge ? 0 : other + f, heads, slope, peak + row + f,
                             step, weight + f);
                exponential(weight, count * heads);
                EACH_BLOCK(width, 0)
                    b->match(column, count, left + i * all + f, heads, width, all, right + f, d, f > 0);
                if (keep) thin(&s, e, count, heads, keep, d);
                EACH_BLOCK(heads, 0)
                    b->settle(column, count, heads, own + mine + f, other + f, slope, scale + row + f,
                              inner + row + f, step, weight + f, d + f, edge ? 0 : to_own + mine + f);
                if (edge)
                    lower_back(count, heads, logit, slope, d, to_own + mine, by_columns ? 0 : to_edge + e * heads);
                if (keep && by_columns) thin(&s, e, count, heads, keep, weight);
                if (by_columns)
                    EACH_BLOCK(width, 0)
                        b->weigh(column, count, weight, heads, width, all, grad + f, to_z + i * all + f, 1);
            }
        }
    }
}

/* Logits att . leaky_relu(target_i + z_j). */
void attention_v2(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t heads,
                  int64_t width, double slope, const T *att, const T *z, const T *target, const T *keep, T *out,
                  T *peak, T *scale, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last, chunk = SCRATCH / heads, all = heads * width;
    T logit[SCRATCH + WIDEST], by[SCRATCH];
    while (take(&s, ranges, counter, &first, &last) >= 0)
        for (int64_t i = first; i < last; i++) {
            int64_t begin = s.pointer[i], end = s.pointer[i + 1];
            T *top = peak + i * heads, *total = scale + i * heads, *to = out + i * all;
            memset(total, 0, heads * sizeof(T));
            if (begin == end) {
                memset(top, 0, heads * sizeof(T));
                memset(to, 0, all * sizeof(T));
                continue;
            }
            EACH_CHUNK(begin, end) {
                const int32_t *column = s.column + e;
                EACH_BLOCK(width, 0)
                    b->score(column, count, att + f, target + i * all + f, heads, width, all, z + f, slope, logit,
                             f > 0);
                EACH_BLOCK(heads, 0)
                    b->soften(column, count, heads, 0, 0, 0, slope, e > begin, logit + f, top + f, total + f, by + f);
                if (e > begin) scale_down(heads, width, by, to);
                if (keep) thin(&s, e, count, heads, keep, logit);
                EACH_BLOCK(width, 0) b->weigh(column, count, logit, heads, width, all, z + f, to + f, e > begin);
            }
            divide(heads, width, total, to);
        }
}

/* Gradients by rows to target_i and to att (a partial sum for each range), by columns to z_j. Where both are one, as
 * to_z and to_target then are, the latter is added to the former. */
void attention_v2_back(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t by_columns,
                       int64_t heads, int64_t width, double slope, const T *att, const T *z, const T *target,
                       const T *keep, const T *out, const T *grad, const T *peak, const T *scale, T *inner, T *to_z,
                       T *to_target, T *to_att, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, by_columns);
    const T *own = by_columns ? z : target, *other = by_columns ? target : z;
    const T *left = by_columns ? z : grad, *right = by_columns ? grad : z;
    int64_t first, last, number, chunk = SCRATCH / heads, all = heads * width, step = by_columns ? heads : 0;
    T weight[SCRATCH + WIDEST], d[SCRATCH];
    while ((number = take(&s, ranges, counter, &first, &last)) >= 0) {
        T *partial = by_columns ? 0 : memset(to_att + number * all, 0, all * sizeof(T));
        if (!by_columns) own_products(first, last, heads, width, grad, out, inner);
        for (int64_t i = first; i < last; i++) {
            int64_t row = by_columns ? 0 : i * heads;
            T *to = (by_columns ? to_z : to_target) + i * all;
            if (!by_columns || to_z != to_target) memset(to, 0, all * sizeof(T));
            EACH_CHUNK(s.pointer[i], s.pointer[i + 1]) {
                const int32_t *column = s.column + e;
                EACH_BLOCK(width, 0) {
                    b->score(column, count, att + f, own + i * all + f, heads, width, all, other + f, slope, weight,
                             f > 0);
                    b->match(column, count, left + i * all + f, heads, width, all, right + f, d, f > 0);
                }
                EACH_BLOCK(heads, 0) b->lower(column, count, heads, 0, 0, 0, slope, peak + row + f, step, weight + f);
                exponential(weight, count * heads);
                if (keep) thin(&s, e, count, heads, keep, d);
                EACH_BLOCK(heads, 0)
                    b->settle(column, count, heads, 0, 0, slope, scale + row + f, inner + row + f, step, weight + f,
                              d + f, 0);
                if (keep && by_columns) thin(&s, e, count, heads, keep, weight);
                EACH_BLOCK(width, 0) {
                    if (by_columns) b->weigh(column, count, weight, heads, width, all, grad + f, to + f, 1);
                    b->bend(column, count, d, att + f, own + i * all + f, heads, width, all, other + f, slope, to + f,
                            partial ? partial + f : 0);
                }
            }
        }
    }
}
#undef EACH_CHUNK
