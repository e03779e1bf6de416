/* The weighted mixture of aggregations, out_i = sum_k w_k aggregate_k + bias, for one block of channels; included by
 * blocks.h.
 *
 * The sums are made of two, the plain and the propagated one, and those of order and moment share the read of the
 * neighbours; nothing is kept for the backward pass, which gathers again. The sums of a whole block don't fit the
 * registers, but what is added up in the nearest cache costs less than to walk over the neighbours once more. */

typedef struct {
    VEC even[COUNT], propagated[COUNT], up[COUNT], down[COUNT], shift[COUNT], one[COUNT], two[COUNT];
} OF(Row);

/* One row's aggregates, for a block of its channels: the plain and the propagated sum, the largest and the smallest, and
 * the moments around the first neighbour. Fetches what the rows to come will read of x, and of what they add to. */
INLINE void OF(gather)(const Side *s, int64_t i, const Mix *m, const int kinds, const int edges, const T *x,
                       const T *to, OF(Row) *r) {
    int64_t begin = s->pointer[i], end = s->pointer[i + 1], channels = m->channels;
    const T nothing[BLOCK] = {};
    const T *some = begin < end ? x + s->column[begin] * channels : nothing;
    MASK odd[COUNT];
    EACH {
        r->even[c] = r->propagated[c] = r->one[c] = r->two[c] = (VEC){};
        odd[c] = (MASK){};
        r->shift[c] = r->up[c] = r->down[c] = AT(some, c);
    }
    for (int64_t e = begin; e < end; e++) {
        const T *from = x + s->column[e] * channels;
        T value = edges ? m->values[e] : 0;
        SOON(x, s->column + e, BLOCK);
        if (to) SOON(to, s->column + e, BLOCK);
        EACH {
            VEC v = AT(from, c);
            if (kinds & LINEAR) r->even[c] += v;
            if (kinds & LINEAR && edges) r->propagated[c] += value * v;
            if (kinds & (HIGH | LOW)) odd[c] |= (MASK)(v != v);
            if (kinds & HIGH) r->up[c] = LARGER(v, r->up[c]);
            if (kinds & LOW) r->down[c] = SMALLER(v, r->down[c]);
            if (kinds & STD) {
                VEC d = v - r->shift[c];
                r->one[c] += d;
                r->two[c] += d * d;
            }
        }
    }
    /* What is not a number counts as the largest and the smallest. */
    if (kinds & (HIGH | LOW)) EACH {
        r->up[c] = CHOOSE(odd[c], (T)NAN - (VEC){}, r->up[c]);
        r->down[c] = CHOOSE(odd[c], (T)NAN - (VEC){}, r->down[c]);
    }
    if (kinds & STD) EACH {
        /* A difference of two products would be rounded as each compilation of this likes. */
        VEC mean = r->one[c] * m->share[i], v = (r->two[c] - r->one[c] * mean) * m->share[i];
        r->shift[c] += mean;
        v = CHOOSE((MASK)(v <= (T)1e-5), (VEC){}, v);
        T root[LANES];
        memcpy(root, &v, sizeof root);
        for (int k = 0; k < LANES; k++) root[k] = sizeof(T) == 4 ? sqrtf(root[k]) : sqrt(root[k]);
        memcpy(&r->two[c], root, sizeof root);
    }
}

/* total_k += aggregate_k against, or its square where there is nothing against it, and the square of the own state; for
 * each vector apart, or all. Those that nobody asks for are computed with the others of their kind. */
INLINE void OF(tally)(const Mix *m, int64_t i, const int kinds, const int edges, const T *own, const OF(Row) *r,
                      const T *against, const int apart, VEC *total) {
    T share = m->share[i], loop = edges ? m->diagonal[i] : 0;
    EACH {
        VEC *to = total + apart * c * KINDS, mine = AT(own, c), g = against ? AT(against, c) : (VEC){};
#define TALLY(k, aggregate) \
    { \
        VEC a = aggregate; \
        to[k] += a * (against ? g : a); \
    }
        if (kinds & LINEAR) TALLY(0, r->even[c])
        if (kinds & LINEAR) TALLY(1, share * r->even[c])
        if (edges) TALLY(2, r->propagated[c] + loop * mine)
        TALLY(3, mine)
        if (kinds & HIGH) TALLY(4, r->up[c])
        if (kinds & LOW) TALLY(5, r->down[c])
        if (kinds & STD) TALLY(6, r->two[c])
#undef TALLY
    }
}

/* Sums over many rows are kept in double. */
INLINE void OF(flush)(VEC *total, const int apart, double *totals) {
    T part[LANES];
    memcpy(part, total, sizeof part);
    for (int f = 0; f < LANES; f++) totals[apart * f] += part[f];
    *total = (VEC){};
}

#define EVERY_64(i, last) if ((i) % 64 == 63 || (i) == (last) - 1)

INLINE void OF(mix_)(const Side *s, int64_t first, int64_t last, const Mix *m, const int kinds, const int edges,
                     const T *x, const T *bias, T *out, double *totals) {
    VEC total[KINDS] = {};
    for (int64_t i = first; i < last; i++) {
        int64_t at = i * m->channels;
        T own = (m->kinds & SELF ? m->weight[3] : 0) + (edges ? m->weight[2] * m->diagonal[i] : 0);
        T even = (m->kinds & SUM ? m->weight[0] : 0) + (m->kinds & MEAN ? m->weight[1] * m->share[i] : 0);
        OF(Row) r;
        OF(gather)(s, i, m, kinds, edges, x, 0, &r);
        EACH {
            VEC sum = bias ? AT(bias, c) : (VEC){};
            if (m->kinds & (SELF | GCN)) sum += own * AT(x + at, c);
            if (m->kinds & (SUM | MEAN)) sum += even * r.even[c];
            if (edges) sum += m->weight[2] * r.propagated[c];
            if (kinds & m->kinds & HIGH) sum += m->weight[4] * r.up[c];
            if (kinds & m->kinds & LOW) sum += m->weight[5] * r.down[c];
            if (kinds & m->kinds & STD) sum += m->weight[6] * r.two[c];
            PUT(out + at, c) = sum;
        }
        if (totals) OF(tally)(m, i, kinds, edges, x + at, &r, 0, 0, total);
        if (totals) EVERY_64(i, last) for (int k = 0; k < KINDS; k++) OF(flush)(total + k, 0, totals + k * m->columns);
    }
}

/* The same where all are sums and nobody asks for squares: one sum with one coefficient an edge. */
INLINE void OF(fold_)(const Side *s, int64_t first, int64_t last, const Mix *m, const int edges, const T *x,
                      const T *bias, T *out) {
    int64_t channels = m->channels;
    T self = m->kinds & SELF ? m->weight[3] : 0, by = edges ? m->weight[2] : 0;
    T share = m->kinds & MEAN ? m->weight[1] : 0, all = m->kinds & SUM ? m->weight[0] : 0;
    for (int64_t i = first; i < last; i++) {
        T own = self + (edges ? by * m->diagonal[i] : 0), even = all + share * m->share[i];
        VEC a[COUNT];
        EACH a[c] = own * AT(x + i * channels, c);
        if (bias) EACH a[c] += AT(bias, c);
        for (int64_t e = s->pointer[i]; e < s->pointer[i + 1]; e++) {
            const T *from = x + s->column[e] * channels;
            T factor = edges ? even + by * m->values[e] : even;
            SOON(x, s->column + e, BLOCK);
            EACH a[c] += factor * AT(from, c);
        }
        EACH PUT(out + i * channels, c) = a[c];
    }
}

static void OF(mix)(const Side *s, int64_t first, int64_t last, const Mix *m, const T *x, const T *bias, T *out,
                    double *totals) {
#define CALL(kinds, edges) OF(mix_)(s, first, last, m, kinds, edges, x, bias, out, totals)
    int edges = (m->kinds & GCN) != 0;
    if (m->kinds & (LOW | STD)) {
        if (edges) CALL(LINEAR | HIGH | LOW | STD, 1);
        else CALL(LINEAR | HIGH | LOW | STD, 0);
    } else if (m->kinds & HIGH) {
        if (edges) CALL(LINEAR | HIGH, 1);
        else CALL(LINEAR | HIGH, 0);
    } else if (totals) {
        if (edges) CALL(LINEAR, 1);
        else if (m->kinds & LINEAR) CALL(LINEAR, 0);
        else CALL(0, 0);
    } else if (edges) OF(fold_)(s, first, last, m, 1, x, bias, out);
    else OF(fold_)(s, first, last, m, 0, x, bias, out);
#undef CALL
}

/* Gradients where all are sums, of one read of the gradient's rows, by columns: to x, to the weights from each node's own
 * products with what it gets, and to the bias. */
INLINE void OF(fold_back_)(const Side *s, int64_t first, int64_t last, const Mix *m, const int kinds, const T *x,
                           const T *grad, T *out, double *totals, double *to_bias) {
    int64_t channels = m->channels;
    VEC total[KINDS] = {}, all[COUNT] = {};
    for (int64_t i = first; i < last; i++) {
        VEC even[COUNT] = {}, shared[COUNT] = {}, propagated[COUNT] = {};
        int64_t at = i * channels;
        for (int64_t e = s->pointer[i]; e < s->pointer[i + 1]; e++) {
            const T *from = grad + s->column[e] * channels;
            T share = kinds & MEAN ? m->share[s->column[e]] : 0, value = kinds & GCN ? m->values[s->order[e]] : 0;
            SOON(grad, s->column + e, BLOCK);
            EACH {
                VEC v = AT(from, c);
                if (kinds & SUM) even[c] += v;
                if (kinds & MEAN) shared[c] += share * v;
                if (kinds & GCN) propagated[c] += value * v;
            }
        }
        EACH {
            VEC own = AT(x + at, c), g = AT(grad + at, c), sum = (VEC){};
            if (kinds & GCN) propagated[c] += m->diagonal[i] * g;
            if (kinds & SUM) sum += m->weight[0] * even[c];
            if (kinds & MEAN) sum += m->weight[1] * shared[c];
            if (kinds & GCN) sum += m->weight[2] * propagated[c];
            if (m->kinds & SELF) sum += m->weight[3] * g;
            PUT(out + at, c) = sum;
            if (kinds & SUM) total[0] += even[c] * own;
            if (kinds & MEAN) total[1] += shared[c] * own;
            if (kinds & GCN) total[2] += propagated[c] * own;
            if (m->kinds & SELF) total[3] += g * own;
            all[c] += g;
        }
        EVERY_64(i, last) {
            for (int k = 0; k < KINDS; k++) OF(flush)(total + k, 0, totals + k * m->columns);
            if (to_bias) EACH OF(flush)(all + c, 1, to_bias + c * LANES);
        }
    }
}

static void OF(fold_back)(const Side *s, int64_t first, int64_t last, const Mix *m, const T *x, const T *grad, T *out,
                          double *totals, double *to_bias) {
#define CALL(kinds) \
    case kinds: OF(fold_back_)(s, first, last, m, kinds, x, grad, out, totals, to_bias); break;
    switch (m->kinds & ~SELF) {
        CALL(0) CALL(SUM) CALL(MEAN) CALL(SUM | MEAN) CALL(GCN) CALL(SUM | GCN) CALL(MEAN | GCN)
        CALL(SUM | MEAN | GCN)
    }
#undef CALL
}

/* Gradients otherwise: to x, which rows add to their neighbours, to the weights, of each channel for itself, so that no
 * sum depends on how threads share these out, and to the bias. */
INLINE void OF(mix_back_)(const Side *s, const Mix *m, const int kinds, const int edges, const T *x, const T *grad,
                          T *out, double *totals, double *to_bias) {
    int64_t channels = m->channels;
    VEC total[COUNT][KINDS] = {}, all[COUNT] = {};
    T self = m->kinds & SELF ? m->weight[3] : 0, by = edges ? m->weight[2] : 0;
    T share = m->kinds & MEAN ? m->weight[1] : 0, plain = m->kinds & SUM ? m->weight[0] : 0;
    T high = m->kinds & HIGH ? m->weight[4] : 0, low = m->kinds & LOW ? m->weight[5] : 0;
    T std = m->kinds & STD ? m->weight[6] : 0;
    for (int64_t i = 0; i < s->rows; i++) {
        T own = self + (edges ? by * m->diagonal[i] : 0);
        EACH {
            VEC g = AT(grad + i * channels, c);
            PUT(out + i * channels, c) = own * g;
            all[c] += g;
        }
        if (to_bias) EVERY_64(i, s->rows) EACH OF(flush)(all + c, 1, to_bias + c * LANES);
    }
    for (int64_t i = 0; i < s->rows; i++) {
        int64_t begin = s->pointer[i], end = s->pointer[i + 1], at = i * channels;
        T even = plain + share * m->share[i];
        VEC ups[COUNT] = {}, downs[COUNT] = {}, steep[COUNT], g[COUNT];
        OF(Row) r;
        OF(gather)(s, i, m, kinds, edges, x, out, &r);
        OF(tally)(m, i, kinds, edges, x + at, &r, grad + at, 1, total[0]);
        /* Those that tie share the gradient evenly. */
        for (int64_t e = begin; e < end; e++) {
            const T *from = x + s->column[e] * channels;
            if (kinds & HIGH) EACH ups[c] += PICK(AT(from, c) == r.up[c], 1 - (VEC){});
            if (kinds & LOW) EACH downs[c] += PICK(AT(from, c) == r.down[c], 1 - (VEC){});
        }
        EACH {
            g[c] = AT(grad + at, c);
            ups[c] = high * g[c] / ups[c];
            downs[c] = low * g[c] / downs[c];
            steep[c] = PICK(r.two[c] != 0, std * m->share[i] * g[c] / r.two[c]);
        }
        for (int64_t e = begin; e < end; e++) {
            const T *from = x + s->column[e] * channels;
            T *to = out + s->column[e] * channels, factor = edges ? even + by * m->values[e] : even;
            EACH {
                VEC v = AT(from, c), sum = AT(to, c) + factor * g[c];
                if (kinds & HIGH) sum += PICK(v == r.up[c], ups[c]);
                if (kinds & LOW) sum += PICK(v == r.down[c], downs[c]);
                if (kinds & STD) sum += steep[c] * (v - r.shift[c]);
                PUT(to, c) = sum;
            }
        }
        EVERY_64(i, s->rows) EACH for (int k = 0; k < KINDS; k++)
            OF(flush)(total[c] + k, 1, totals + k * m->columns + c * LANES);
    }
}

static void OF(mix_back)(const Side *s, const Mix *m, const T *x, const T *grad, T *out, double *totals,
                         double *to_bias) {
#define CALL(kinds, edges) OF(mix_back_)(s, m, kinds, edges, x, grad, out, totals, to_bias)
    int edges = (m->kinds & GCN) != 0;
    if (m->kinds & (LOW | STD)) {
        if (edges) CALL(LINEAR | HIGH | LOW | STD, 1);
        else CALL(LINEAR | HIGH | LOW | STD, 0);
    } else if (edges) CALL(LINEAR | HIGH, 1);
    else CALL(LINEAR | HIGH, 0);
#undef CALL
}

#undef EVERY_64
