/* Attention for one block of channels, or of heads; included by blocks.h.
 *
 * Several heads are taken at a time where their sums fit the registers: the neighbours of a node
 * are few, and a loop over them for each head would mostly begin and end. */
#if COUNT == 1
#define GROUP 8
#else
#define GROUP 1
#endif
#define EACH_HEAD for (int h = 0; h < group; h++)
#define SOON_HEADS(x, column) \
    for (int at = 0; at < group * width; at += LINE) \
        __builtin_prefetch((x) + (int64_t)(column)[AHEAD] * stride + at)
/* Threads that share eight heads take four each. */
#define BY_GROUPS(call) \
    int64_t h = 0; \
    for (; h + GROUP <= heads; h += GROUP) call(GROUP); \
    for (; GROUP > 4 && h + 4 <= heads; h += 4) call(4); \
    for (; h < heads; h++) call(1)

/* For each head, out_h (+)= sum_k weight_kh x_kh over some neighbours k. */
INLINE void OF(weigh_)(const int group, const int32_t *column, int64_t count, const T *weight, int64_t heads,
                       int64_t width, int64_t stride, const T *x, T *out, int more) {
    VEC a[GROUP][COUNT] = {};
    if (more) EACH_HEAD EACH a[h][c] = AT(out + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * stride;
        SOON_HEADS(x, column + k);
        EACH_HEAD EACH a[h][c] += weight[k * heads + h] * AT(from + h * width, c);
    }
    EACH_HEAD EACH PUT(out + h * width, c) = a[h][c];
}

static void OF(weigh)(const int32_t *column, int64_t count, const T *weight, int64_t heads, int64_t width,
                      int64_t stride, const T *x, T *out, int more) {
#define CALL(n) OF(weigh_)(n, column, count, weight + h, heads, width, stride, x + h * width, out + h * width, more)
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
                       int64_t width, int64_t stride, const T *x, T *out, int more) {
    VEC mine[GROUP][COUNT], a[GROUP][COUNT];
    EACH_HEAD EACH mine[h][c] = AT(own + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * stride;
        SOON_HEADS(x, column + k);
        EACH_HEAD EACH a[h][c] = mine[h][c] * AT(from + h * width, c);
        OF(put)(group, a, out + k * heads, more);
    }
}

static void OF(match)(const int32_t *column, int64_t count, const T *own, int64_t heads, int64_t width,
                      int64_t stride, const T *x, T *out, int more) {
#define CALL(n) OF(match_)(n, column, count, own + h * width, heads, width, stride, x + h * width, out + h, more)
    BY_GROUPS(CALL);
#undef CALL
}

/* For each head and neighbour, out_kh (+)= <att_h, leaky_relu(own_h + x_kh)>. */
INLINE void OF(score_)(const int group, const int32_t *column, int64_t count, const T *att, const T *own,
                       int64_t heads, int64_t width, int64_t stride, const T *x, T slope, T *out, int more) {
    VEC mine[GROUP][COUNT], by[GROUP][COUNT], a[GROUP][COUNT];
    EACH_HEAD EACH mine[h][c] = AT(own + h * width, c);
    EACH_HEAD EACH by[h][c] = AT(att + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * stride;
        SOON_HEADS(x, column + k);
        EACH_HEAD EACH {
            VEC r = mine[h][c] + AT(from + h * width, c);
            a[h][c] = by[h][c] * CHOOSE(r > 0, r, slope * r);
        }
        OF(put)(group, a, out + k * heads, more);
    }
}

static void OF(score)(const int32_t *column, int64_t count, const T *att, const T *own, int64_t heads, int64_t width,
                      int64_t stride, const T *x, T slope, T *out, int more) {
#define CALL(n) \
    OF(score_)(n, column, count, att + h * width, own + h * width, heads, width, stride, x + h * width, slope, \
               out + h, more)
    BY_GROUPS(CALL);
#undef CALL
}

/* Gradients of that, for the gradients d_kh: out_h += sum_k d_kh att_h leaky_relu'(own_h + x_kh), and to att. */
INLINE void OF(bend_)(const int group, const int32_t *column, int64_t count, const T *d, const T *att, const T *own,
                      int64_t heads, int64_t width, int64_t stride, const T *x, T slope, T *out, T *to_att) {
    VEC mine[GROUP][COUNT], a[GROUP][COUNT] = {}, b[GROUP][COUNT] = {};
    EACH_HEAD EACH mine[h][c] = AT(own + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * stride;
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
                     int64_t width, int64_t stride, const T *x, T slope, T *out, T *to_att) {
#define CALL(n) \
    OF(bend_)(n, column, count, d + h, att + h * width, own + h * width, heads, width, stride, x + h * width, slope, \
              out + h * width, to_att ? to_att + h * width : 0)
    BY_GROUPS(CALL);
#undef CALL
}

/* Gradients of a mixture of attentions, for the gradients g_h of its value: to each neighbour sum_kh g_h, and where d_kh
 * are gradients of the second version's logits, to both of their states and to att. */
INLINE void OF(spread_)(const int group, const int dynamic, const int32_t *column, int64_t count, const T *sum,
                        const T *d, const T *att, const T *own, int64_t heads, int64_t width, int64_t stride,
                        const T *x, T slope, const T *grad, T *to_x, T *to_own, T *to_att) {
    VEC g[GROUP][COUNT], mine[GROUP][COUNT], by[GROUP][COUNT], a[GROUP][COUNT] = {}, b[GROUP][COUNT] = {};
    EACH_HEAD EACH g[h][c] = AT(grad + h * width, c);
    if (dynamic) EACH_HEAD EACH mine[h][c] = AT(own + h * width, c);
    if (dynamic) EACH_HEAD EACH by[h][c] = AT(att + h * width, c);
    for (int64_t k = 0; k < count; k++) {
        const T *from = x + column[k] * stride;
        T *to = to_x + column[k] * stride;
        SOON_HEADS(to_x, column + k);
        EACH_HEAD EACH {
            /* One product after another: a sum of two would be rounded as each compilation of this likes. */
            VEC more = AT(to + h * width, c);
            more += sum[k * heads + h] * g[h][c];
            if (dynamic) {
                T scale = d[k * heads + h];
                VEC r = mine[h][c] + AT(from + h * width, c);
                VEC bent = CHOOSE(r > 0, scale - (VEC){}, scale * slope - (VEC){});
                a[h][c] += bent;
                b[h][c] += bent * r;
                more += bent * by[h][c];
            }
            PUT(to + h * width, c) = more;
        }
    }
    if (dynamic) EACH_HEAD EACH PUT(to_own + h * width, c) += a[h][c] * by[h][c];
    if (dynamic) EACH_HEAD EACH PUT(to_att + h * width, c) += b[h][c];
}

static void OF(spread)(const int32_t *column, int64_t count, const T *sum, const T *d, const T *att, const T *own,
                       int64_t heads, int64_t width, int64_t stride, const T *x, T slope, const T *grad, T *to_x,
                       T *to_own, T *to_att) {
#define CALL_(n, dynamic) \
    OF(spread_)(n, dynamic, column, count, sum + h, dynamic ? d + h : 0, att + h * width, own + h * width, heads, \
                width, stride, x + h * width, slope, grad + h * width, to_x + h * width, to_own + h * width, \
                to_att + h * width)
#define CALL(n) \
    if (d) CALL_(n, 1); \
    else CALL_(n, 0)
    BY_GROUPS(CALL);
#undef CALL
#undef CALL_
}

/* out_h += weight x_h scale_h for each head, and square_h (+)= the squares of x_h scale_h. */
static void OF(finish)(int64_t heads, int64_t width, const T *scale, T weight, const T *x, T *out, T *square, int more) {
    for (int64_t h = 0; h < heads; h++) {
        VEC a[COUNT];
        EACH {
            a[c] = scale[h] * AT(x + h * width, c);
            PUT(out + h * width, c) += weight * a[c];
            a[c] *= a[c];
        }
        T value = OF(total)(a);
        square[h] = more ? square[h] + value : value;
    }
}

/* Gradients of one node's logit <by_h, x_h>, for each head. */
static void OF(unmatch)(const T *d, const T *by, int64_t heads, int64_t width, const T *x, T *to_x, T *to_by) {
    for (int64_t h = 0; h < heads; h++) EACH {
        PUT(to_x + h * width, c) += d[h] * AT(by + h * width, c);
        PUT(to_by + h * width, c) += d[h] * AT(x + h * width, c);
    }
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
static void OF(lower)(const int32_t *column, int64_t count, int64_t heads, const T *own, const T *other, int64_t wide,
                      T slope, const T *peak, int64_t step, T *logit) {
    for (int64_t k = 0; k < count; k++) {
        T *to = logit + k * heads;
        EACH {
            VEC v = AT(to, c);
            if (other) {
                v = AT(own, c) + AT(other + column[k] * wide, c);
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

/* The logits of one entry: leaky_relu(own + other_k), or what is there already. */
INLINE VEC OF(logit)(const int32_t *column, int64_t k, int64_t heads, const T *own, const T *other, int64_t wide,
                     T slope, const T *logit, int c) {
    if (!other) return AT(logit + k * heads, c);
    VEC v = AT(own, c) + AT(other + column[k] * wide, c);
    return CHOOSE(v > 0, v, slope * v);
}

/* From logits to exponentials, which lie where the logits may be, and their sums in total. The largest isn't known
 * beforehand: where there is more than this, rescale says by how much what was summed before counts now. */
static void OF(soften)(const int32_t *column, int64_t count, int64_t heads, const T *own, const T *other, int64_t wide,
                       T slope, int more, T *logit, T *top, T *total, T *rescale) {
    EACH {
        VEC peak = more ? AT(top, c) : OF(logit)(column, 0, heads, own, other, wide, slope, logit, c), sum = (VEC){};
        for (int64_t k = 0; k < count; k++) {
            VEC v = OF(logit)(column, k, heads, own, other, wide, slope, logit, c);
            peak = CHOOSE((MASK)(v > peak) | (MASK)(v != v), v, peak);
            PUT(logit + k * heads, c) = v;
        }
        if (more) {
            VEC by = exp_of(AT(top, c) - peak);
            PUT(rescale, c) = by;
            sum = by * AT(total, c);
        }
        for (int64_t k = 0; k < count; k++) {
            VEC v = exp_of(AT(logit + k * heads, c) - peak);
            PUT(logit + k * heads, c) = v;
            sum += v;
        }
        PUT(top, c) = peak;
        PUT(total, c) = sum;
    }
}

/* The softmax again, by what was kept of it, and inner += sum_k weight_k d_k. What is added up stays in memory: else
 * compilers multiply single numbers apart from where they add them, and round them otherwise than vectors. */
static void OF(resoften)(const int32_t *column, int64_t count, int64_t heads, const T *own, const T *other,
                         int64_t wide, T slope, const T *peak, const T *scale, const T *d, T *weight, T *inner) {
    for (int64_t k = 0; k < count; k++) EACH {
        VEC v = OF(logit)(column, k, heads, own, other, wide, slope, weight, c);
        VEC p = exp_of(v - AT(peak, c)) * AT(scale, c);
        PUT(weight + k * heads, c) = p;
        PUT(inner, c) += p * AT(d + k * heads, c);
    }
}

/* The gradient of a softmax that counts by so much in a mixture: sum_k (+)= by weight_k, and that of its logits, which
 * goes to both halves of these where they have such, whose rows are narrow numbers apart, and else to to_logit. */
static void OF(turn)(const int32_t *column, int64_t count, int64_t heads, const T *own, const T *other, int64_t wide,
                     T slope, T by, const T *inner, const T *weight, const T *d, T *sum, int more, int64_t narrow,
                     T *to_own, T *to_other, T *to_logit) {
    VEC a[COUNT] = {};
    for (int64_t k = 0; k < count; k++) EACH {
        VEC p = by * AT(weight + k * heads, c), g = p * (AT(d + k * heads, c) - AT(inner, c));
        if (more) PUT(sum + k * heads, c) += p;
        else PUT(sum + k * heads, c) = p;
        if (other) {
            g = CHOOSE(AT(own, c) + AT(other + column[k] * wide, c) > 0, g, slope * g);
            PUT(to_other + column[k] * narrow, c) += g;
            a[c] += g;
        } else PUT(to_logit + k * heads, c) = g;
    }
    if (other) EACH PUT(to_own, c) += a[c];
}

#undef GROUP
#undef EACH_HEAD
#undef SOON_HEADS
#undef BY_GROUPS
