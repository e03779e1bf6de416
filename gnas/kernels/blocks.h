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
#define SOON(x, column) \
    for (int at = 0; at < BLOCK; at += LINE) __builtin_prefetch((x) + (int64_t)(column)[AHEAD] * channels + at)
#define CHOOSE(mask, a, b) ((VEC)(((mask) & (MASK)(a)) | (~(mask) & (MASK)(b))))

#if COUNT == 1
typedef T VEC __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));
typedef BITS MASK __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));

/* The sum of a vector's numbers, and those of eight vectors at once. */
#if LANES == 1 || !SHUFFLES
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
#if LANES == 16
#define LOW 0, 1, 2, 3, 4, 5, 6, 7
#define HIGH 8, 9, 10, 11, 12, 13, 14, 15
#define HALF 8
#elif LANES == 8
#define LOW 0, 1, 2, 3
#define HIGH 4, 5, 6, 7
#define HALF 4
#elif LANES == 4
#define LOW 0, 1
#define HIGH 2, 3
#define HALF 2
#else
#define LOW 0
#define HIGH 1
#define HALF 1
#endif
#define HALVED(v) (__builtin_shufflevector(v, v, LOW) + __builtin_shufflevector(v, v, HIGH))
INLINE T JOIN(fold_, LANES)(VEC v) { return JOIN(fold_, HALF)(HALVED(v)); }

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
#elif LANES == 16
    JOIN(vector_, HALF) half[8];
    for (int k = 0; k < 8; k++) half[k] = HALVED(v[k]);
    JOIN(fold_eight_, HALF)(half, out);
#else
    for (int k = 0; k < 8; k++) out[k] = JOIN(fold_, LANES)(v[k]);
#endif
}
#undef LOW
#undef HIGH
#undef HALF
#undef HALVED
#endif
#endif

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
            SOON(x, s->column + e);
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
            SOON(right, s->column + e);
            EACH a[c] = own[c] * AT(right + s->column[e] * channels, c);
            T value = OF(total)(a);
            out[e] = more ? out[e] + value : value;
        }
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
            SOON(x, s->column + e);
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
        T count = end > begin ? end - begin : 1;
        EACH {
            if (high) PUT(high + at, c) = up[c];
            if (low) PUT(low + at, c) = down[c];
            if (mean) {
                VEC m = one[c] / count, v = two[c] / count - m * m;
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
        T count = end - begin;
        VEC up[COUNT] = {}, down[COUNT] = {}, tops[COUNT] = {}, bottoms[COUNT] = {};
        VEC middle[COUNT] = {}, flat[COUNT] = {}, steep[COUNT] = {};
        EACH {
            if (high) up[c] = AT(high + at, c);
            if (low) down[c] = AT(low + at, c);
        }
        if (high || low)
            for (int64_t e = begin; e < end; e++) {
                const T *from = x + s->column[e] * channels;
                SOON(x, s->column + e);
                EACH {
                    VEC v = AT(from, c);
                    if (high) tops[c] += PICK(v == up[c], 1 - (VEC){});
                    if (low) bottoms[c] += PICK(v == down[c], 1 - (VEC){});
                }
            }
        EACH {
            if (high) tops[c] = AT(to_high + at, c) / tops[c];
            if (low) bottoms[c] = AT(to_low + at, c) / bottoms[c];
            if (to_mean) flat[c] = AT(to_mean + at, c) / count;
            if (to_std) {
                VEC d = AT(std + at, c);
                middle[c] = AT(mean + at, c);
                steep[c] = PICK(d != 0, AT(to_std + at, c) / (count * d));
            }
        }
        for (int64_t e = begin; e < end; e++) {
            const T *from = x + s->column[e] * channels;
            T *to = out + s->column[e] * channels;
            SOON(out, s->column + e);
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

/* Attention's inner loops take several heads at a time, where their sums fit the registers: the neighbours of a node
 * are few, and a loop over them for each head would mostly begin and end. */
#if COUNT == 1
#define GROUP 8
#else
#define GROUP 1
#endif
#define EACH_HEAD for (int h = 0; h < group; h++)
#define SOON_HEADS(x, column) \
    for (int at = 0; at < group * width; at += LINE) \
        __builtin_prefetch((x) + (int64_t)(column)[AHEAD] * heads * width + at)
#define BY_GROUPS(call) \
    int64_t h = 0; \
    for (; h + GROUP <= heads; h += GROUP) call(GROUP); \
    for (; h < heads; h++) call(1)

/* For each head, out_h (+)= sum_k weight_kh x_kh over some neighbours k. */
INLINE void OF(weigh_)(const int group, const int32_t *column, int64_t count, const T *weight, int64_t heads,
                       int64_t width, const T *x, T *out, int more) {
    VEC a[GROUP][COUNT] = {};
    if (more) EACH_HEAD EACH a[h][c] = AT(out + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * heads * width;
        SOON_HEADS(x, column + k);
        EACH_HEAD EACH a[h][c] += weight[k * heads + h] * AT(from + h * width, c);
    }
    EACH_HEAD EACH PUT(out + h * width, c) = a[h][c];
}

static void OF(weigh)(const int32_t *column, int64_t count, const T *weight, int64_t heads, int64_t width, const T *x,
                      T *out, int more) {
#define CALL(n) OF(weigh_)(n, column, count, weight + h, heads, width, x + h * width, out + h * width, more)
    BY_GROUPS(CALL);
#undef CALL
}

/* out_kh (+)= the totals of a group's vectors. */
INLINE void OF(put)(const int group, VEC (*a)[COUNT], T *out, int more) {
    T value[GROUP];
#if COUNT == 1
    if (group == GROUP) JOIN(fold_eight_, LANES)(a[0], value);
    else
#endif
        EACH_HEAD value[h] = OF(total)(a[h]);
    EACH_HEAD out[h] = more ? out[h] + value[h] : value[h];
}

/* For each head and neighbour, out_kh (+)= <own_h, x_kh>. */
INLINE void OF(match_)(const int group, const int32_t *column, int64_t count, const T *own, int64_t heads,
                       int64_t width, const T *x, T *out, int more) {
    VEC mine[GROUP][COUNT], a[GROUP][COUNT];
    EACH_HEAD EACH mine[h][c] = AT(own + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * heads * width;
        SOON_HEADS(x, column + k);
        EACH_HEAD EACH a[h][c] = mine[h][c] * AT(from + h * width, c);
        OF(put)(group, a, out + k * heads, more);
    }
}

static void OF(match)(const int32_t *column, int64_t count, const T *own, int64_t heads, int64_t width, const T *x,
                      T *out, int more) {
#define CALL(n) OF(match_)(n, column, count, own + h * width, heads, width, x + h * width, out + h, more)
    BY_GROUPS(CALL);
#undef CALL
}

/* For each head and neighbour, out_kh (+)= <att_h, leaky_relu(own_h + x_kh)>. */
INLINE void OF(score_)(const int group, const int32_t *column, int64_t count, const T *att, const T *own,
                       int64_t heads, int64_t width, const T *x, T slope, T *out, int more) {
    VEC mine[GROUP][COUNT], by[GROUP][COUNT], a[GROUP][COUNT];
    EACH_HEAD EACH mine[h][c] = AT(own + h * width, c);
    EACH_HEAD EACH by[h][c] = AT(att + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * heads * width;
        SOON_HEADS(x, column + k);
        EACH_HEAD EACH {
            VEC r = mine[h][c] + AT(from + h * width, c);
            a[h][c] = by[h][c] * CHOOSE(r > 0, r, slope * r);
        }
        OF(put)(group, a, out + k * heads, more);
    }
}

static void OF(score)(const int32_t *column, int64_t count, const T *att, const T *own, int64_t heads, int64_t width,
                      const T *x, T slope, T *out, int more) {
#define CALL(n) \
    OF(score_)(n, column, count, att + h * width, own + h * width, heads, width, x + h * width, slope, out + h, more)
    BY_GROUPS(CALL);
#undef CALL
}

/* Gradients of that, for the gradients d_kh: out_h += sum_k d_kh att_h leaky_relu'(own_h + x_kh), and to att. */
INLINE void OF(bend_)(const int group, const int32_t *column, int64_t count, const T *d, const T *att, const T *own,
                      int64_t heads, int64_t width, const T *x, T slope, T *out, T *to_att) {
    VEC mine[GROUP][COUNT], a[GROUP][COUNT] = {}, b[GROUP][COUNT] = {};
    EACH_HEAD EACH mine[h][c] = AT(own + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * heads * width;
        EACH_HEAD EACH {
            T scale = d[k * heads + h];
            VEC r = mine[h][c] + AT(from + h * width, c);
            VEC bent = CHOOSE(r > 0, scale - (VEC){}, scale * slope - (VEC){});
            a[h][c] += bent;
            if (to_att) b[h][c] += bent * r;
        }
    }
    EACH_HEAD EACH PUT(out + h * width, c) += a[h][c] * AT(att + h * width, c);
    if (to_att) EACH_HEAD EACH PUT(to_att + h * width, c) += b[h][c];
}

static void OF(bend)(const int32_t *column, int64_t count, const T *d, const T *att, const T *own, int64_t heads,
                     int64_t width, const T *x, T slope, T *out, T *to_att) {
#define CALL(n) \
    OF(bend_)(n, column, count, d + h, att + h * width, own + h * width, heads, width, x + h * width, slope, \
              out + h * width, to_att ? to_att + h * width : 0)
    BY_GROUPS(CALL);
#undef CALL
}

/* What attention does for each head of an entry. Here the block is one of heads, not of channels. A value of the row
 * that an entry belongs to lies at the own row (step 0) or at that of the entry's column (step heads). */

/* top = max(top, max_k x_k) */
static void OF(largest)(const int32_t *column, int64_t count, int64_t heads, const T *x, T *top) {
    VEC a[COUNT];
    EACH a[c] = AT(top, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + (column ? column[k] : k) * heads;
        EACH {
            VEC v = AT(from, c);
            a[c] = CHOOSE((MASK)(v > a[c]) | (MASK)(v != v), v, a[c]);
        }
    }
    EACH PUT(top, c) = a[c];
}

/* logit_k = leaky_relu(own + other_k) - peak, or only less the peak. */
static void OF(lower)(const int32_t *column, int64_t count, int64_t heads, const T *own, const T *other, T slope,
                      const T *peak, int64_t step, T *logit) {
    for (int64_t k = 0; k < count; k++) {
        T *to = logit + k * heads;
        EACH {
            VEC v = AT(to, c);
            if (other) {
                v = AT(own, c) + AT(other + column[k] * heads, c);
                v = CHOOSE(v > 0, v, slope * v);
            }
            PUT(to, c) = v - AT(peak + column[k] * step, c);
        }
    }
}

/* total += sum_k x_k */
static void OF(add)(int64_t count, int64_t heads, const T *x, T *total) {
    VEC a[COUNT];
    EACH a[c] = AT(total, c);
    for (int64_t k = 0; k < count; k++) EACH a[c] += AT(x + k * heads, c);
    EACH PUT(total, c) = a[c];
}

/* The gradient of the softmax: weight_k *= scale; d_k = weight_k (d_k - inner); and that of the leaky ReLU. */
static void OF(settle)(const int32_t *column, int64_t count, int64_t heads, const T *own, const T *other, T slope,
                       const T *scale, const T *inner, int64_t step, T *weight, T *d, T *to) {
    VEC a[COUNT] = {};
    for (int64_t k = 0; k < count; k++) {
        int64_t row = column[k] * step;
        EACH {
            VEC p = AT(weight + k * heads, c) * AT(scale + row, c);
            VEC g = p * (AT(d + k * heads, c) - AT(inner + row, c));
            PUT(weight + k * heads, c) = p;
            PUT(d + k * heads, c) = g;
            if (to) a[c] += CHOOSE(AT(own, c) + AT(other + column[k] * heads, c) > 0, g, slope * g);
        }
    }
    if (to) EACH PUT(to, c) += a[c];
}

static const Kernels OF(kernels) = {BLOCK,     OF(sum),   OF(product), OF(statistics), OF(statistics_back), OF(weigh),
                                    OF(match), OF(score), OF(bend),    OF(largest),    OF(lower),           OF(add),
                                    OF(settle)};

#undef BLOCK
#undef OF
#undef VEC
#undef MASK
#undef EACH
#undef AT
#undef PUT
#undef PICK
#undef CHOOSE
#undef LINE
#undef SOON
#undef SOON_HEADS
#undef GROUP
#undef EACH_HEAD
#undef BY_GROUPS
#undef LANES
#undef COUNT
