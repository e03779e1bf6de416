/* The inner loops, for numbers of type T and one block of channels that is kept in registers: COUNT vectors of LANES
 * numbers. Included by rows.h once for every such block. */

#define BLOCK (LANES * COUNT)
#define OF(name) JOIN(JOIN(name, _), JOIN(LANES, JOIN(x, COUNT)))
#define VEC JOIN(vector_, LANES)
#define MASK JOIN(mask_, LANES)
#define EACH for (int c = 0; c < COUNT; c++)
#define AT(p, c) (((const VEC *)(p))[c])
#define PUT(p, c) (((VEC *)(p))[c])
#define PICK(mask, a) ((VEC)((mask) & (MASK)(a)))
/* Fetch the state of a neighbour that is read soon. */
#define LINE (64 / (int)sizeof(T))
#define SOON(x, column, size) \
    for (int at = 0; at < size; at += LINE) __builtin_prefetch((x) + (int64_t)(column)[AHEAD] * channels + at)
#define CHOOSE(mask, a, b) ((VEC)(((mask) & (MASK)(a)) | (~(mask) & (MASK)(b))))
/* The larger or the smaller of two, and the second where one of them is not a number: one instruction, which compilers
 * don't find by themselves. */
#if !defined(DOUBLE) && defined(__AVX512F__) && LANES == 16
#define LARGER(a, b) ((VEC)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define SMALLER(a, b) ((VEC)_mm512_min_ps((__m512)(a), (__m512)(b)))
#elif !defined(DOUBLE) && defined(__AVX__) && LANES == 8
#define LARGER(a, b) ((VEC)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define SMALLER(a, b) ((VEC)_mm256_min_ps((__m256)(a), (__m256)(b)))
#elif !defined(DOUBLE) && defined(__SSE2__) && LANES == 4
#define LARGER(a, b) ((VEC)_mm_max_ps((__m128)(a), (__m128)(b)))
#define SMALLER(a, b) ((VEC)_mm_min_ps((__m128)(a), (__m128)(b)))
#else
#define LARGER(a, b) CHOOSE((MASK)((a) > (b)), a, b)
#define SMALLER(a, b) CHOOSE((MASK)((a) < (b)), a, b)
#endif

#if COUNT == 1
typedef T VEC __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));
typedef BITS MASK __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));

/* The sum of a vector's numbers, and those of eight vectors at once, added up in the same order: no sum depends on how
 * many heads are taken together. */
#if LANES < 8 || !SHUFFLES
INLINE T JOIN(fold_, LANES)(VEC v) {
    T lane[LANES];
    memcpy(lane, &v, sizeof lane);
    for (int half = LANES / 2; half; half /= 2)
        for (int k = 0; k < half; k++) lane[k] += lane[k + half];
    return lane[0];
}

INLINE void JOIN(fold_eight_, LANES)(const VEC *v, T *out) {
    for (int k = 0; k < 8; k++) out[k] = JOIN(fold_, LANES)(v[k]);
}
#else
#if LANES == 8
INLINE T JOIN(fold_, LANES)(VEC v) {
    vector_4 two = __builtin_shufflevector(v, v, 0, 1, 4, 5) + __builtin_shufflevector(v, v, 2, 3, 6, 7);
    return (two[0] + two[1]) + (two[2] + two[3]);
}
#else
#define LOW 0, 1, 2, 3, 4, 5, 6, 7
#define HIGH 8, 9, 10, 11, 12, 13, 14, 15
#define HALVED(v) (__builtin_shufflevector(v, v, LOW) + __builtin_shufflevector(v, v, HIGH))
INLINE T JOIN(fold_, LANES)(VEC v) { return fold_8(HALVED(v)); }
#endif

INLINE void JOIN(fold_eight_, LANES)(const VEC *v, T *out) {
#if LANES == 8
    VEC two[4], four[2];
#define BOTH(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    for (int k = 0; k < 4; k++)
        two[k] = BOTH(v[2 * k], v[2 * k + 1], 0, 8, 1, 9, 4, 12, 5, 13) +
                 BOTH(v[2 * k], v[2 * k + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    for (int k = 0; k < 2; k++)
        four[k] = BOTH(two[2 * k], two[2 * k + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
                  BOTH(two[2 * k], two[2 * k + 1], 2, 3, 10, 11, 6, 7, 14, 15);
    PUT(out, 0) = BOTH(four[0], four[1], 0, 1, 2, 3, 8, 9, 10, 11) +
                  BOTH(four[0], four[1], 4, 5, 6, 7, 12, 13, 14, 15);
#undef BOTH
#else
    vector_8 half[8];
    for (int k = 0; k < 8; k++) half[k] = HALVED(v[k]);
    fold_eight_8(half, out);
#undef LOW
#undef HIGH
#undef HALVED
#endif
}
#endif
#endif

#if COUNT == 1
#define EXP(lanes) JOIN(exp_, JOIN(lanes, JOIN(x, 1)))
/* exp by a polynomial: vectorised without a mathematics library. */
INLINE VEC EXP(LANES)(VEC v) {
    const int single = sizeof(T) == 4;
    const T magic = single ? (T)12582912.0 : (T)6755399441055744.0;
    const T low = single ? (T)-87.0 : (T)-708.0, high = single ? (T)88.0 : (T)709.0;
    const T ln2_high = single ? (T)0.693359375 : (T)0.693145751953125;
    const T ln2_low = single ? (T)-2.12194440054690583e-4 : (T)1.42860682030941723212e-6;
    MASK under = (MASK)(v < low);
    v = CHOOSE(under, low - (VEC){}, v);
    v = CHOOSE((MASK)(v > high), high - (VEC){}, v);
    VEC shifted = v * (T)1.44269504088896340736 + magic, round = shifted - magic;
    VEC r = (v - round * ln2_high) - round * ln2_low, p = (VEC){};
    for (int d = single ? 7 : 13; d > 0; d--) {
        VEC part = r * ((T)1 / d);
        p = p * part + part;
    }
    MASK power = ((MASK)shifted + (single ? 127 : 1023)) << (single ? 23 : 52);
    return (VEC)(~under & (MASK)((p + 1) * (VEC)power));
}
#endif
#define exp_of EXP(LANES)

INLINE T OF(total)(const VEC *v) {
    VEC all = v[0];
    for (int c = 1; c < COUNT; c++) all += v[c];
    return JOIN(fold_, LANES)(all);
}

/* out_i = sum_j values_ij x_j */
INLINE void OF(sum_)(const Side *s, int64_t first, int64_t last, const T *values, const int32_t *order, const T *x,
                     int64_t channels, T *out) {
    for (int64_t i = first; i < last; i++) {
        VEC a[COUNT] = {};
        for (int64_t e = s->pointer[i]; e < s->pointer[i + 1]; e++) {
            const T *from = x + s->column[e] * channels;
            SOON(x, s->column + e, BLOCK);
            if (values) {
                T value = values[order ? order[e] : e];
                EACH a[c] += value * AT(from, c);
            } else EACH a[c] += AT(from, c);
        }
        EACH PUT(out + i * channels, c) = a[c];
    }
}

static void OF(sum)(const Side *s, int64_t first, int64_t last, const T *values, const T *x, int64_t channels, T *out) {
    if (!values) OF(sum_)(s, first, last, 0, 0, x, channels, out);
    else if (!s->order) OF(sum_)(s, first, last, values, 0, x, channels, out);
    else OF(sum_)(s, first, last, values, s->order, x, channels, out);
}

/* out_ij (+)= <left_i, right_j> */
static void OF(product)(const Side *s, int64_t first, int64_t last, const T *left, const T *right, int64_t channels,
                        T *out, int more) {
    for (int64_t i = first; i < last; i++) {
        VEC own[COUNT];
        EACH own[c] = AT(left + i * channels, c);
        for (int64_t e = s->pointer[i]; e < s->pointer[i + 1]; e++) {
            VEC a[COUNT];
            SOON(right, s->column + e, BLOCK);
            EACH a[c] = own[c] * AT(right + s->column[e] * channels, c);
            T value = OF(total)(a);
            out[e] = more ? out[e] + value : value;
        }
    }
}

/* out_i = sum_j relu(x_j + y_ij). The rows of y are those of the edges as they were given; place says where each is. */
static void OF(rectify)(const Side *s, int64_t first, int64_t last, const int64_t *place, const T *x, const T *y,
                        int64_t channels, T *out) {
    for (int64_t i = first; i < last; i++) {
        VEC a[COUNT] = {};
        for (int64_t e = s->pointer[i]; e < s->pointer[i + 1]; e++) {
            const T *from = x + s->column[e] * channels, *along = y + place[e] * channels;
            SOON(x, s->column + e, BLOCK);
            EACH {
                VEC v = AT(from, c) + AT(along, c);
                a[c] += PICK((MASK)(v > 0) | (MASK)(v != v), v);
            }
        }
        EACH PUT(out + i * channels, c) = a[c];
    }
}

/* Its gradients, by columns: to each row of y, which is one edge's, and to x_j the sum of those of its edges. */
static void OF(rectify_back)(const Side *s, int64_t first, int64_t last, const int64_t *place, const T *x, const T *y,
                             int64_t channels, const T *grad, T *to_x, T *to_y) {
    for (int64_t j = first; j < last; j++) {
        VEC own[COUNT], a[COUNT] = {};
        EACH own[c] = AT(x + j * channels, c);
        for (int64_t e = s->pointer[j]; e < s->pointer[j + 1]; e++) {
            int64_t at = place[s->order[e]] * channels;
            const T *from = grad + s->column[e] * channels;
            SOON(grad, s->column + e, BLOCK);
            EACH {
                VEC g = PICK((MASK)(own[c] + AT(y + at, c) > 0), AT(from, c));
                PUT(to_y + at, c) = g;
                a[c] += g;
            }
        }
        EACH PUT(to_x + j * channels, c) = a[c];
    }
}

/* Largest, smallest, mean and standard deviation. The moments are taken around the first neighbour: a constant
 * neighbourhood has exactly no deviation. */
INLINE void OF(statistics_)(const Side *s, int64_t first, int64_t last, const T *x, int64_t channels, T *high, T *low,
                            T *mean, T *std) {
    for (int64_t i = first; i < last; i++) {
        int64_t begin = s->pointer[i], end = s->pointer[i + 1], at = i * channels;
        VEC up[COUNT] = {}, down[COUNT] = {}, shift[COUNT] = {}, one[COUNT] = {}, two[COUNT] = {};
        if (begin < end) EACH up[c] = down[c] = shift[c] = AT(x + s->column[begin] * channels, c);
        for (int64_t e = begin + 1; e < end; e++) {
            const T *from = x + s->column[e] * channels;
            SOON(x, s->column + e, BLOCK);
            EACH {
                VEC v = AT(from, c);
                if (high) up[c] = CHOOSE((MASK)(v > up[c]) | (MASK)(v != v), v, up[c]);
                if (low) down[c] = CHOOSE((MASK)(v < down[c]) | (MASK)(v != v), v, down[c]);
                if (mean) {
                    VEC d = v - shift[c];
                    one[c] += d;
                    two[c] += d * d;
                }
            }
        }
        T share = (T)1 / (end > begin ? end - begin : 1);
        EACH {
            if (high) PUT(high + at, c) = up[c];
            if (low) PUT(low + at, c) = down[c];
            if (mean) {
                VEC m = one[c] * share, v = (two[c] - one[c] * m) * share;
                PUT(mean + at, c) = shift[c] + m;
                PUT(std + at, c) = CHOOSE((MASK)(v <= (T)1e-5), (VEC){}, v);
            }
        }
        if (mean)
            for (int k = 0; k < BLOCK; k++) std[at + k] = sizeof(T) == 4 ? sqrtf(std[at + k]) : sqrt(std[at + k]);
    }
}

static void OF(statistics)(const Side *s, int64_t first, int64_t last, const T *x, int64_t channels, T *high, T *low,
                           T *mean, T *std) {
    if (high && !low && !mean) OF(statistics_)(s, first, last, x, channels, high, 0, 0, 0);
    else if (low && !high && !mean) OF(statistics_)(s, first, last, x, channels, 0, low, 0, 0);
    else if (mean && !high && !low) OF(statistics_)(s, first, last, x, channels, 0, 0, mean, std);
    else if (!mean) OF(statistics_)(s, first, last, x, channels, high, low, 0, 0);
    else OF(statistics_)(s, first, last, x, channels, high, low, mean, std);
}

/* Gradients of these to x. Walks the rows and recomputes which neighbours are extreme; ties share evenly. */
INLINE void OF(statistics_back_)(const Side *s, const T *x, int64_t channels, const T *high, const T *low,
                                 const T *mean, const T *std, const T *to_high, const T *to_low, const T *to_mean,
                                 const T *to_std, T *out) {
    for (int64_t i = 0; i < s->rows; i++) {
        int64_t begin = s->pointer[i], end = s->pointer[i + 1], at = i * channels;
        if (begin == end) continue;
        T share = (T)1 / (end - begin);
        VEC up[COUNT] = {}, down[COUNT] = {}, tops[COUNT] = {}, bottoms[COUNT] = {};
        VEC middle[COUNT] = {}, flat[COUNT] = {}, steep[COUNT] = {};
        EACH {
            if (high) up[c] = AT(high + at, c);
            if (low) down[c] = AT(low + at, c);
        }
        if (high || low)
            for (int64_t e = begin; e < end; e++) {
                const T *from = x + s->column[e] * channels;
                SOON(x, s->column + e, BLOCK);
                EACH {
                    VEC v = AT(from, c);
                    if (high) tops[c] += PICK(v == up[c], 1 - (VEC){});
                    if (low) bottoms[c] += PICK(v == down[c], 1 - (VEC){});
                }
            }
        EACH {
            if (high) tops[c] = AT(to_high + at, c) / tops[c];
            if (low) bottoms[c] = AT(to_low + at, c) / bottoms[c];
            if (to_mean) flat[c] = AT(to_mean + at, c) * share;
            if (to_std) {
                VEC d = AT(std + at, c);
                middle[c] = AT(mean + at, c);
                steep[c] = PICK(d != 0, AT(to_std + at, c) * share / d);
            }
        }
        for (int64_t e = begin; e < end; e++) {
            const T *from = x + s->column[e] * channels;
            T *to = out + s->column[e] * channels;
            SOON(out, s->column + e, BLOCK);
            EACH {
                VEC v = AT(from, c), sum = AT(to, c);
                if (high) sum += PICK(v == up[c], tops[c]);
                if (low) sum += PICK(v == down[c], bottoms[c]);
                if (to_mean) sum += flat[c];
                if (to_std) sum += steep[c] * (v - middle[c]);
                PUT(to, c) = sum;
            }
        }
    }
}

static void OF(statistics_back)(const Side *s, const T *x, int64_t channels, const T *high, const T *low,
                                const T *mean, const T *std, const T *to_high, const T *to_low, const T *to_mean,
                                const T *to_std, T *out) {
    int order = (to_high != 0) + 2 * (to_low != 0), moments = (to_mean != 0) + 2 * (to_std != 0);
#define CASE(h, l, m, d) \
    OF(statistics_back_)(s, x, channels, h ? high : 0, l ? low : 0, mean, std, h ? to_high : 0, l ? to_low : 0, \
                         m ? to_mean : 0, d ? to_std : 0, out)
    if (moments == 0 && order == 1) CASE(1, 0, 0, 0);
    else if (moments == 0 && order == 2) CASE(0, 1, 0, 0);
    else if (moments == 0 && order == 3) CASE(1, 1, 0, 0);
    else if (moments == 2 && order == 0) CASE(0, 0, 0, 1);
    else if (moments == 3 && order == 3) CASE(1, 1, 1, 1);
    else CASE(to_high, to_low, to_mean, to_std);
#undef CASE
}

#include "mixture.h"
#include "heads.h"

static const Kernels OF(kernels) = {
    BLOCK, OF(sum), OF(product), OF(rectify), OF(rectify_back), OF(statistics), OF(statistics_back), OF(weigh),
    OF(match), OF(score), OF(bend), OF(spread), OF(unmatch), OF(largest), OF(lower), OF(add), OF(settle),
    OF(soften), OF(resoften), OF(finish), OF(turn), OF(mix), OF(fold_back), OF(mix_back)
};

#undef BLOCK
#undef OF
#undef VEC
#undef MASK
#undef EACH
#undef AT
#undef PUT
#undef PICK
#undef CHOOSE
#undef LARGER
#undef SMALLER
#undef LINE
#undef SOON
#undef exp_of

#undef LANES
#undef COUNT
