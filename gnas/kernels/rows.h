/* What Python calls: loops over rows, which call the inner loops of blocks.h. */

/* A mixture: which aggregations, by these bits, and by their positions how much of each. */
enum { SUM = 1, MEAN = 2, GCN = 4, SELF = 8, HIGH = 16, LOW = 32, STD = 64, LINEAR = 15, KINDS = 7 };
typedef struct {
    int kinds;
    const T *weight;            /* [7] */
    const T *share;             /* one over the number of neighbours, [rows] */
    const T *values, *diagonal; /* coefficients of propagation: of each entry, and of the node itself, or null */
    int64_t channels, columns;  /* of the states, and of the sums, which have a row for each aggregation */
} Mix;

typedef struct {
    int64_t size;
    void (*sum)(const Side *, int64_t, int64_t, const T *, const T *, int64_t, T *);
    void (*product)(const Side *, int64_t, int64_t, const T *, const T *, int64_t, T *, int);
    void (*rectify)(const Side *, int64_t, int64_t, const int64_t *, const T *, const T *, int64_t, T *);
    void (*rectify_back)(const Side *, int64_t, int64_t, const int64_t *, const T *, const T *, int64_t, const T *, T *,
                         T *);
    void (*statistics)(const Side *, int64_t, int64_t, const T *, int64_t, T *, T *, T *, T *);
    void (*statistics_back)(const Side *, const T *, int64_t, const T *, const T *, const T *, const T *, const T *,
                            const T *, const T *, const T *, T *);
    void (*weigh)(const int32_t *, int64_t, const T *, int64_t, int64_t, int64_t, const T *, T *, int);
    void (*match)(const int32_t *, int64_t, const T *, int64_t, int64_t, int64_t, const T *, T *, int);
    void (*score)(const int32_t *, int64_t, const T *, const T *, int64_t, int64_t, int64_t, const T *, T, T *, int);
    void (*bend)(const int32_t *, int64_t, const T *, const T *, const T *, int64_t, int64_t, int64_t, const T *, T, T *,
                 T *);
    void (*spread)(const int32_t *, int64_t, const T *, const T *, const T *, const T *, int64_t, int64_t, int64_t,
                   const T *, T, const T *, T *, T *, T *);
    void (*unmatch)(const T *, const T *, int64_t, int64_t, const T *, T *, T *);
    void (*largest)(const int32_t *, int64_t, int64_t, const T *, T *);
    void (*lower)(const int32_t *, int64_t, int64_t, const T *, const T *, int64_t, T, const T *, int64_t, T *);
    void (*add)(int64_t, int64_t, const T *, T *);
    void (*settle)(const int32_t *, int64_t, int64_t, const T *, const T *, T, const T *, const T *, int64_t, T *, T *,
                   T *);
    void (*soften)(const int32_t *, int64_t, int64_t, const T *, const T *, int64_t, T, int, T *, T *, T *, T *);
    void (*resoften)(const int32_t *, int64_t, int64_t, const T *, const T *, int64_t, T, const T *, const T *,
                     const T *, T *, T *);
    void (*finish)(int64_t, int64_t, const T *, T, const T *, T *, T *, int);
    void (*turn)(const int32_t *, int64_t, int64_t, const T *, const T *, int64_t, T, T, const T *, const T *, const T *,
                 T *, int, int64_t, T *, T *, T *);
    void (*mix)(const Side *, int64_t, int64_t, const Mix *, const T *, const T *, T *, double *);
    void (*fold_back)(const Side *, int64_t, int64_t, const Mix *, const T *, const T *, T *, double *, double *);
    void (*mix_back)(const Side *, const Mix *, const T *, const T *, T *, double *, double *);
} Kernels;

#define LANES 1
#define COUNT 1
#include "blocks.h"
/* Two floats are no vector of most processors, whose compilers take them apart and round as they like. */
#ifdef DOUBLE
#define LANES 2
#define COUNT 1
#include "blocks.h"
#endif
#if WIDEST > 2
#define LANES 4
#define COUNT 1
#include "blocks.h"
#endif
#if WIDEST > 4
#define LANES 8
#define COUNT 1
#include "blocks.h"
#endif
#if WIDEST > 8
#define LANES 16
#define COUNT 1
#include "blocks.h"
#endif
#define LANES WIDEST
#define COUNT 4
#include "blocks.h"

#define SHAPE(lanes, count) &JOIN(kernels_, JOIN(lanes, JOIN(x, count)))
static const Kernels *const shapes[] = {
    SHAPE(WIDEST, 4), SHAPE(WIDEST, 1),
#if WIDEST > 8
    SHAPE(8, 1),
#endif
#if WIDEST > 4
    SHAPE(4, 1),
#endif
#if defined(DOUBLE) && WIDEST > 2
    SHAPE(2, 1),
#endif
    SHAPE(1, 1)};
#undef SHAPE

/* The block that begins at channel f; it reaches back where that saves blocks and computing twice does no harm. */
static const Kernels *next(int64_t *f, int64_t channels, int back) {
    int64_t rest = channels - *f, k = 0;
    while (shapes[k]->size > rest) k++;
    if (back && k && shapes[k]->size < rest) {
        int64_t size = shapes[k - 1]->size;
        if (size <= channels && size < 2 * rest) {
            *f = channels - size;
            k--;
        }
    }
    return shapes[k];
}
#define EACH_BLOCK(channels, back) \
    for (int64_t f = 0; f < (channels);) \
        for (const Kernels *b = next(&f, channels, back); b; f += b->size, b = 0)

/* exp of n numbers; the buffer has room for a vector. */
static void exponential(T *x, int64_t n) {
    typedef JOIN(vector_, WIDEST) VEC;
    for (int64_t k = 0; k < n; k += WIDEST) *(VEC *)(x + k) = EXP(WIDEST)(*(VEC *)(x + k));
}

void weighted_sum(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int64_t transposed,
                      const T *values, const T *x, int64_t channels, T *out, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, transposed);
    int64_t first, last;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        EACH_BLOCK(channels, 1) b->sum(&s, first, last, values, x + f, channels, out + f);
}

void inner_product(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, const T *left,
                       const T *right, int64_t channels, T *out, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        EACH_BLOCK(channels, 0) b->product(&s, first, last, left + f, right + f, channels, out, f > 0);
}

void rectified_sum(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, const int64_t *place,
                   const T *x, const T *y, int64_t channels, T *out, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        EACH_BLOCK(channels, 1) b->rectify(&s, first, last, place, x + f, y + f, channels, out + f);
}

void rectified_sum_back(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, const int64_t *place,
                        const T *x, const T *y, int64_t channels, const T *grad, T *to_x, T *to_y, int64_t ranges,
                        int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 1);
    int64_t first, last;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        EACH_BLOCK(channels, 1)
            b->rectify_back(&s, first, last, place, x + f, y + f, channels, grad + f, to_x + f, to_y + f);
}

#define PLUS(p, f) ((p) ? (p) + (f) : 0)

void statistics(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, const T *x,
                    int64_t channels, T *high, T *low, T *mean, T *std, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last;
    while (take(&s, ranges, counter, &first, &last) >= 0)
        EACH_BLOCK(channels, 1)
            b->statistics(&s, first, last, x + f, channels, PLUS(high, f), PLUS(low, f), PLUS(mean, f), PLUS(std, f));
}

/* The threads share out the channels here, since rows add to the same neighbours. */
void statistics_back(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, const T *x,
                         int64_t channels, const T *high, const T *low, const T *mean, const T *std, const T *to_high,
                         const T *to_low, const T *to_mean, const T *to_std, T *out, int64_t ranges,
                         int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t step = ((channels + ranges - 1) / ranges + 15) / 16 * 16, start;
    while ((start = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED) * step) < channels) {
        int64_t width = start + step < channels ? step : channels - start;
        EACH_BLOCK(width, 0) {
            int64_t at = start + f;
            b->statistics_back(&s, x + at, channels, PLUS(high, at), PLUS(low, at), PLUS(mean, at), PLUS(std, at),
                               PLUS(to_high, at), PLUS(to_low, at), PLUS(to_mean, at), PLUS(to_std, at), out + at);
        }
    }
}

/* The mixture, and the sum of squares of each of its aggregations, [7, columns], a column for each range. */
void mix(const int32_t *pattern, int64_t rows, int64_t entries, int64_t kinds, const T *weight, const T *share,
         const T *values, const T *diagonal, const T *x, int64_t channels, const T *bias, T *out, double *totals,
         int64_t columns, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, rows, entries, 0);
    Mix m = {kinds, weight, share, values, diagonal, channels, columns};
    int64_t first, last, number;
    while ((number = take(&s, ranges, counter, &first, &last)) >= 0)
        EACH_BLOCK(channels, !totals)
            b->mix(&s, first, last, &m, x + f, PLUS(bias, f), out + f, PLUS(totals, number));
}

/* The gradients of a mixture that is all sums: to x, to the weights, [7, columns], a column for each range, and to the
 * bias, [ranges, channels]. */
void fold_back(const int32_t *pattern, int64_t rows, int64_t entries, int64_t kinds, const T *weight, const T *share,
               const T *values, const T *diagonal, const T *x, int64_t channels, const T *grad, T *out,
               double *totals, int64_t columns, double *to_bias, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, rows, entries, 1);
    Mix m = {kinds, weight, share, values, diagonal, channels, columns};
    int64_t first, last, number;
    while ((number = take(&s, ranges, counter, &first, &last)) >= 0)
        EACH_BLOCK(channels, 0)
            b->fold_back(&s, first, last, &m, x + f, grad + f, out + f, totals + number,
                         PLUS(to_bias, number * channels + f));
}

/* Those of any other: to x, to the weights, [7, columns], a column for each channel, and to the bias, [channels]. The
 * threads share out the channels. */
void mix_back(const int32_t *pattern, int64_t rows, int64_t entries, int64_t kinds, const T *weight, const T *share,
              const T *values, const T *diagonal, const T *x, int64_t channels, const T *grad, T *out, double *totals,
              int64_t columns, double *to_bias, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, rows, entries, 0);
    Mix m = {kinds, weight, share, values, diagonal, channels, columns};
    int64_t step = ((channels + ranges - 1) / ranges + 15) / 16 * 16, start;
    while ((start = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED) * step) < channels) {
        int64_t width = start + step < channels ? step : channels - start;
        EACH_BLOCK(width, 0) {
            int64_t at = start + f;
            b->mix_back(&s, &m, x + at, grad + at, out + at, totals + at, PLUS(to_bias, at));
        }
    }
}
#undef PLUS

/* Softmax over the entries of each row, one for each head. */
void edge_softmax(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, const T *logits,
                      int64_t heads, T *out, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last, chunk = SCRATCH / heads;
    T top[SCRATCH], total[SCRATCH], buffer[SCRATCH + WIDEST];
    while (take(&s, ranges, counter, &first, &last) >= 0)
        for (int64_t i = first; i < last; i++) {
            int64_t begin = s.pointer[i], end = s.pointer[i + 1];
            if (begin == end) continue;
            memcpy(top, logits + begin * heads, heads * sizeof(T));
            memset(total, 0, heads * sizeof(T));
            EACH_BLOCK(heads, 0) b->largest(0, end - begin, heads, logits + begin * heads + f, top + f);
            for (int64_t e = begin; e < end; e += chunk) {
                int64_t count = end - e < chunk ? end - e : chunk;
                for (int64_t k = 0; k < count; k++)
                    for (int64_t h = 0; h < heads; h++) buffer[k * heads + h] = logits[(e + k) * heads + h] - top[h];
                exponential(buffer, count * heads);
                EACH_BLOCK(heads, 0) b->add(count, heads, buffer + f, total + f);
                memcpy(out + e * heads, buffer, count * heads * sizeof(T));
            }
            for (int64_t h = 0; h < heads; h++) total[h] = 1 / (total[h] + (T)1e-16);
            for (int64_t e = begin; e < end; e++)
                for (int64_t h = 0; h < heads; h++) out[e * heads + h] *= total[h];
        }
}

/* Its gradient: p (g - sum p g). */
void edge_softmax_back(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, const T *weight,
                       const T *grad, int64_t heads, T *out, int64_t ranges, int64_t *counter) {
    Side s = side(pattern, rows, columns, entries, 0);
    int64_t first, last;
    T total[SCRATCH];
    while (take(&s, ranges, counter, &first, &last) >= 0)
        for (int64_t i = first; i < last; i++) {
            int64_t begin = s.pointer[i] * heads, end = s.pointer[i + 1] * heads;
            memset(total, 0, heads * sizeof(T));
            for (int64_t e = begin; e < end; e += heads)
                for (int64_t h = 0; h < heads; h++) total[h] += out[e + h] = weight[e + h] * grad[e + h];
            for (int64_t e = begin; e < end; e += heads)
                for (int64_t h = 0; h < heads; h++) out[e + h] -= weight[e + h] * total[h];
        }
}

#include "attention.h"
#include "attend.h"
#include "combine.h"
