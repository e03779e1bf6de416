/* Attention; included by rows.h.
 *
 * The forward passes keep the largest logit of each row and head (peak), and one over the sum of the exponentials
 * (scale). From these the backward passes compute any weight again, so that nothing of [entries, heads] outlives a
 * chunk of a row. */

INLINE T leaky(T x, T slope) { return x > 0 ? x : slope * x; }

/* Logits leaky_relu(source_j + target_i), whose largest is known once the largest source is. */
INLINE void attention_(const Side *s, int64_t first, int64_t last, int64_t heads, int64_t width, T slope,
                           const T *source, const T *target, const T *z, T *out, T *peak, T *scale) {
    T buffer[SCRATCH + WIDEST];
    int64_t chunk = SCRATCH / heads;
    for (int64_t i = first; i < last; i++) {
        int64_t begin = s->pointer[i], end = s->pointer[i + 1];
        const T *own = target + i * heads;
        T *top = peak + i * heads, *total = scale + i * heads, *to = out + i * heads * width;
        memset(total, 0, heads * sizeof(T));
        if (begin == end) {
            memset(top, 0, heads * sizeof(T));
            memset(to, 0, heads * width * sizeof(T));
            continue;
        }
        memcpy(top, source + s->column[begin] * heads, heads * sizeof(T));
        for (int64_t e = begin + 1; e < end; e++)
            for (int64_t h = 0; h < heads; h++) {
                T v = source[s->column[e] * heads + h];
                top[h] = v > top[h] ? v : top[h];
            }
        for (int64_t h = 0; h < heads; h++) top[h] = leaky(top[h] + own[h], slope);
        for (int64_t e = begin; e < end; e += chunk) {
            int64_t count = end - e < chunk ? end - e : chunk;
            const int32_t *column = s->column + e;
            EACH_WEIGHT buffer HERE = leaky(source[column[k] * heads + h] + own[h], slope) - top[h];
            exponential(buffer, count * heads);
            EACH_WEIGHT total[h] += buffer HERE;
            EACH_BLOCK(width, 0) b->weigh(column, count, buffer, heads, width, z + f, to + f, e > begin);
        }
        for (int64_t h = 0; h < heads; h++) {
            total[h] = 1 / (total[h] + (T)1e-16);
            for (int64_t c = 0; c < width; c++) to[h * width + c] *= total[h];
        }
    }
}

void attention(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t heads,
                   int64_t width, double slope, const T *source, const T *target, const T *z, T *out, T *peak,
                   T *scale, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        if (heads == 8) attention_(&s, first, last, 8, width, slope, source, target, z, out, peak, scale);
        else attention_(&s, first, last, heads, width, slope, source, target, z, out, peak, scale);
}

/* inner_ih = <grad_ih, out_ih>, which the gradient of the softmax subtracts. */
static void own_products(int64_t first, int64_t last, int64_t heads, int64_t width, const T *grad, const T *out,
                             T *inner) {
    const int32_t here = 0;
    for (int64_t i = first; i < last; i++) {
        const T *left = grad + i * heads * width, *right = out + i * heads * width;
        EACH_BLOCK(width, 0) b->match(&here, 1, left + f, heads, width, right + f, inner + i * heads, f > 0);
    }
}

/* Position, in an array of [rows, heads], of the row that entry k belongs to. */
#define ROW ((by_columns ? column[k] : i) * heads + h)

/* Gradients: to the target's half of a logit by rows, to the source's half and to z by columns. In both, the own
 * half belongs to the row (column) i, the other to its neighbours. */
INLINE void attention_back_(const Side *s, int64_t first, int64_t last, int by_columns, int64_t heads,
                                int64_t width, T slope, const T *own, const T *other, const T *z, const T *grad,
                                const T *peak, const T *scale, const T *inner, T *to_own, T *to_z) {
    T weight[SCRATCH + WIDEST], match[SCRATCH];
    int64_t chunk = SCRATCH / heads, all = heads * width;
    for (int64_t i = first; i < last; i++) {
        int64_t end = s->pointer[i + 1];
        const T *mine = own + i * heads, *left = (by_columns ? z : grad) + i * all, *right = by_columns ? grad : z;
        T *to = to_own + i * heads, *sum = to_z + i * all;
        memset(to, 0, heads * sizeof(T));
        if (by_columns) memset(sum, 0, all * sizeof(T));
        for (int64_t e = s->pointer[i]; e < end; e += chunk) {
            int64_t count = end - e < chunk ? end - e : chunk;
            const int32_t *column = s->column + e;
            EACH_WEIGHT weight HERE = leaky(mine[h] + other[column[k] * heads + h], slope) - peak[ROW];
            exponential(weight, count * heads);
            EACH_WEIGHT weight HERE *= scale[ROW];
            EACH_BLOCK(width, 0) b->match(column, count, left + f, heads, width, right + f, match, f > 0);
            EACH_WEIGHT {
                T d = weight HERE * (match HERE - inner[ROW]);
                to[h] += mine[h] + other[column[k] * heads + h] > 0 ? d : slope * d;
            }
            if (by_columns)
                EACH_BLOCK(width, 0) b->weigh(column, count, weight, heads, width, grad + f, sum + f, 1);
        }
    }
}

void attention_back(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t by_columns,
                        int64_t heads, int64_t width, double slope, const T *source, const T *target, const T *z,
                        const T *out, const T *grad, const T *peak, const T *scale, T *inner, T *to_own, T *to_z,
                        int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, by_columns);
    int64_t first, last;
#define CASE(by, n, own, other) \
    attention_back_(&s, first, last, by, n, width, slope, own, other, z, grad, peak, scale, inner, to_own, to_z)
    while (take(&s, ranges, counter, &first, &last) >= 0) {
        if (!by_columns) own_products(first, last, heads, width, grad, out, inner);
        if (by_columns && heads == 8) CASE(1, 8, source, target);
        else if (by_columns) CASE(1, heads, source, target);
        else if (heads == 8) CASE(0, 8, target, source);
        else CASE(0, heads, target, source);
    }
#undef CASE
}

/* Logits att . leaky_relu(z_i + z_j). The largest isn't known beforehand, so what was summed is scaled down whenever
 * a chunk has a larger one. */
INLINE void attention_v2_(const Side *s, int64_t first, int64_t last, int64_t heads, int64_t width, T slope,
                              const T *att, const T *z, T *out, T *peak, T *scale) {
    int64_t chunk = SCRATCH / heads, all = heads * width;
    T buffer[SCRATCH + WIDEST], factor[SCRATCH + WIDEST];
    for (int64_t i = first; i < last; i++) {
        int64_t begin = s->pointer[i], end = s->pointer[i + 1];
        const T *own = z + i * all;
        T *top = peak + i * heads, *total = scale + i * heads, *to = out + i * all;
        memset(total, 0, heads * sizeof(T));
        memset(top, 0, heads * sizeof(T));
        memset(to, 0, all * sizeof(T));
        for (int64_t e = begin; e < end; e += chunk) {
            int64_t count = end - e < chunk ? end - e : chunk;
            const int32_t *column = s->column + e;
            EACH_BLOCK(width, 0)
                b->score(column, count, att + f, own + f, heads, width, z + f, slope, buffer, f > 0);
            memcpy(factor, e > begin ? top : buffer, heads * sizeof(T));
            EACH_WEIGHT factor[h] = buffer HERE > factor[h] ? buffer HERE : factor[h];
            EACH_WEIGHT buffer HERE -= factor[h];
            exponential(buffer, count * heads);
            if (e > begin) {
                for (int64_t h = 0; h < heads; h++) {
                    T peak_now = factor[h];
                    factor[h] = top[h] - peak_now;
                    top[h] = peak_now;
                }
                exponential(factor, heads);
                for (int64_t h = 0; h < heads; h++) {
                    total[h] *= factor[h];
                    for (int64_t c = 0; c < width; c++) to[h * width + c] *= factor[h];
                }
            } else memcpy(top, factor, heads * sizeof(T));
            EACH_WEIGHT total[h] += buffer HERE;
            EACH_BLOCK(width, 0) b->weigh(column, count, buffer, heads, width, z + f, to + f, e > begin);
        }
        for (int64_t h = 0; begin < end && h < heads; h++) {
            total[h] = 1 / (total[h] + (T)1e-16);
            for (int64_t c = 0; c < width; c++) to[h * width + c] *= total[h];
        }
    }
}

void attention_v2(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t heads,
                      int64_t width, double slope, const T *att, const T *z, T *out, T *peak, T *scale,
                      int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        if (heads == 8) attention_v2_(&s, first, last, 8, width, slope, att, z, out, peak, scale);
        else attention_v2_(&s, first, last, heads, width, slope, att, z, out, peak, scale);
}

INLINE void attention_v2_back_(const Side *s, int64_t first, int64_t last, int by_columns, int64_t heads,
                                   int64_t width, T slope, const T *att, const T *z, const T *grad, const T *peak,
                                   const T *scale, const T *inner, T *to_z, T *to_att) {
    int64_t chunk = SCRATCH / heads, all = heads * width;
    T weight[SCRATCH + WIDEST], match[SCRATCH];
    for (int64_t i = first; i < last; i++) {
        int64_t end = s->pointer[i + 1];
        const T *own = z + i * all, *left = (by_columns ? z : grad) + i * all, *right = by_columns ? grad : z;
        T *to = to_z + i * all;
        if (!by_columns) memset(to, 0, all * sizeof(T));
        for (int64_t e = s->pointer[i]; e < end; e += chunk) {
            int64_t count = end - e < chunk ? end - e : chunk;
            const int32_t *column = s->column + e;
            EACH_BLOCK(width, 0) {
                b->score(column, count, att + f, own + f, heads, width, z + f, slope, weight, f > 0);
                b->match(column, count, left + f, heads, width, right + f, match, f > 0);
            }
            EACH_WEIGHT weight HERE -= peak[ROW];
            exponential(weight, count * heads);
            EACH_WEIGHT weight HERE *= scale[ROW];
            if (by_columns) EACH_BLOCK(width, 0) b->weigh(column, count, weight, heads, width, grad + f, to + f, 1);
            EACH_WEIGHT weight HERE *= match HERE - inner[ROW];
            EACH_BLOCK(width, 0)
                b->bend(column, count, weight, att + f, own + f, heads, width, z + f, slope, to + f,
                        by_columns ? 0 : to_att + f);
        }
    }
}

/* Gradients by rows to z_i and to att (a partial sum for each range), by columns to z_j, added to the former. */
void attention_v2_back(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t by_columns,
                           int64_t heads, int64_t width, double slope, const T *att, const T *z, const T *out,
                           const T *grad, const T *peak, const T *scale, T *inner, T *to_z, T *to_att,
                           int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, by_columns);
    int64_t first, last, number;
#define CASE(by, n) \
    attention_v2_back_(&s, first, last, by, n, width, slope, att, z, grad, peak, scale, inner, to_z, partial)
    while ((number = take(&s, ranges, counter, &first, &last)) >= 0) {
        T *partial = to_att + number * heads * width;
        if (!by_columns) {
            own_products(first, last, heads, width, grad, out, inner);
            memset(partial, 0, heads * width * sizeof(T));
        }
        if (by_columns && heads == 8) CASE(1, 8);
        else if (by_columns) CASE(1, heads);
        else if (heads == 8) CASE(0, 8);
        else CASE(0, heads);
    }
#undef CASE
}
