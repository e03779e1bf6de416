/* The weighted mixture of aggregations, out_i = sum_k w_k aggregate_k, for one block of channels; included by blocks.h.
 *
 * The sums share one coefficient for an edge, those of order and moment one read of the neighbours; nothing is kept
 * for the backward pass, which gathers again. A row has more sums here than elsewhere, so that two vectors of each are
 * what fits the registers. */

#define PART (COUNT > 1 ? 2 : 1)
#define PARTS for (int c = 0; c < PART; c++)

typedef struct {
    VEC sum[PART], even[PART], propagated[PART], up[PART], down[PART], ups[PART], downs[PART];
    VEC shift[PART], one[PART], two[PART];
} OF(Row);

/* One row's aggregates: the weighted sum, and what is asked for of the plain and the propagated sum, of the largest
 * and the smallest with how many tie, and of the moments around the first neighbour. */
INLINE void OF(gather)(const Side *s, int64_t i, const Mix *m, const int weighted, const int apart, const int kinds,
                       const int ties, const T *x, OF(Row) *r) {
    int64_t begin = s->pointer[i], end = s->pointer[i + 1], channels = m->channels;
    T own = (m->kinds & SELF ? m->weight[3] : 0) + (m->kinds & GCN ? m->weight[2] * m->diagonal[i] : 0);
    T share = m->kinds & MEAN ? m->weight[1] : 0, all = m->kinds & SUM ? m->weight[0] : 0;
    T by = m->kinds & GCN ? m->weight[2] : 0, even = all + share * m->share[i];
    const T *mine = x + i * channels, nothing[PART * LANES] = {};
    const T *some = begin < end ? x + s->column[begin] * channels : nothing;
    PARTS {
        r->sum[c] = own * AT(mine, c);
        r->even[c] = r->propagated[c] = r->ups[c] = r->downs[c] = r->one[c] = r->two[c] = (VEC){};
        r->shift[c] = r->up[c] = r->down[c] = AT(some, c);
    }
    for (int64_t e = begin; e < end; e++) {
        const T *from = x + s->column[e] * channels;
        T value = m->values ? m->values[e] : 0;
        T factor = even + by * value;
        VEC v[PART];
        SOON(x, s->column + e, PART * LANES);
        PARTS v[c] = AT(from, c);
        if (weighted) PARTS r->sum[c] += factor * v[c];
        if (apart) PARTS r->even[c] += v[c];
        if (apart) PARTS r->propagated[c] += value * v[c];
        /* What is not a number counts as the largest and the smallest. The backward pass, where ties are counted,
         * needn't remember it. */
        if (kinds & HIGH) PARTS {
            MASK more = (MASK)(v[c] > r->up[c]);
            if (!ties) more |= (MASK)(v[c] != v[c]);
            if (ties) r->ups[c] = PICK(~more, r->ups[c]) + PICK(v[c] >= r->up[c], 1 - (VEC){});
            r->up[c] = CHOOSE(more, v[c], r->up[c]);
        }
        if (kinds & LOW) PARTS {
            MASK less = (MASK)(v[c] < r->down[c]);
            if (!ties) less |= (MASK)(v[c] != v[c]);
            if (ties) r->downs[c] = PICK(~less, r->downs[c]) + PICK(v[c] <= r->down[c], 1 - (VEC){});
            r->down[c] = CHOOSE(less, v[c], r->down[c]);
        }
        if (kinds & STD) PARTS {
            VEC d = v[c] - r->shift[c];
            r->one[c] += d;
            r->two[c] += d * d;
        }
    }
    if (kinds & STD) PARTS {
        VEC mean = r->one[c] * m->share[i], v = r->two[c] * m->share[i] - mean * mean;
        r->shift[c] += mean;
        v = CHOOSE((MASK)(v <= (T)1e-5), (VEC){}, v);
        T root[LANES];
        memcpy(root, &v, sizeof root);
        for (int k = 0; k < LANES; k++) root[k] = sizeof(T) == 4 ? sqrtf(root[k]) : sqrt(root[k]);
        memcpy(&r->two[c], root, sizeof root);
    }
}

/* total_k += aggregate_k against, or its square where there is nothing against it. The sums may be multiplied by what
 * is against them already. */
INLINE void OF(tally)(const Mix *m, int64_t i, const T *x, const OF(Row) *r, const T *against, const int multiplied,
                      VEC (*total)[PART]) {
    const T *own = x + i * m->channels;
#define TALLY(k, aggregate) \
    if (m->kinds & 1 << k) PARTS { \
        VEC a = aggregate; \
        total[k][c] += a * (against ? AT(against, c) : a); \
    }
    if (multiplied) PARTS {
        total[0][c] += r->even[c];
        total[1][c] += m->share[i] * r->even[c];
        total[2][c] += r->propagated[c];
        if (m->kinds & GCN) total[2][c] += m->diagonal[i] * AT(own, c) * AT(against, c);
    } else {
        TALLY(0, r->even[c])
        TALLY(1, m->share[i] * r->even[c])
        TALLY(2, r->propagated[c] + m->diagonal[i] * AT(own, c))
    }
    TALLY(3, AT(own, c))
    TALLY(4, r->up[c])
    TALLY(5, r->down[c])
    TALLY(6, r->two[c])
#undef TALLY
}

/* Sums over many rows are kept in double. */
INLINE void OF(flush)(int64_t channels, VEC (*total)[PART], double *totals) {
    for (int k = 0; k < KINDS; k++) {
        T part[PART * LANES];
        memcpy(part, total[k], sizeof part);
        for (int f = 0; f < PART * LANES; f++) totals[k * channels + f] += part[f];
    }
    memset(total, 0, KINDS * PART * sizeof(VEC));
}

INLINE void OF(mix_)(const Side *s, int64_t first, int64_t last, const Mix *m, const int kinds, const T *x, T *out,
                     const T *against, double *totals) {
    VEC total[KINDS][PART] = {};
    for (int64_t i = first; i < last; i++) {
        int64_t at = i * m->channels;
        OF(Row) r;
        OF(gather)(s, i, m, out != 0, totals != 0, kinds, 0, x, &r);
        if (out) PARTS {
            VEC sum = r.sum[c];
            if (kinds & m->kinds & HIGH) sum += m->weight[4] * r.up[c];
            if (kinds & m->kinds & LOW) sum += m->weight[5] * r.down[c];
            if (kinds & m->kinds & STD) sum += m->weight[6] * r.two[c];
            PUT(out + at, c) = sum;
        }
        if (totals) {
            OF(tally)(m, i, x, &r, against ? against + at : 0, 0, total);
            if (i % 64 == 63 || i == last - 1) OF(flush)(m->channels, total, totals);
        }
    }
}

/* The same where all are sums, which are one: by rows, or by columns for the gradient. */
INLINE void OF(fold_)(const Side *s, int64_t first, int64_t last, const Mix *m, const T *values, const int32_t *order,
                      const T *x, T *out) {
    int64_t channels = m->channels;
    T self = m->kinds & SELF ? m->weight[3] : 0, by = m->kinds & GCN ? m->weight[2] : 0;
    T share = m->kinds & MEAN ? m->weight[1] : 0, all = m->kinds & SUM ? m->weight[0] : 0;
    for (int64_t i = first; i < last; i++) {
        T own = self + (m->kinds & GCN ? by * m->diagonal[i] : 0), even = all + share * m->share[i];
        VEC a[COUNT];
        EACH a[c] = own * AT(x + i * channels, c);
        for (int64_t e = s->pointer[i]; e < s->pointer[i + 1]; e++) {
            const T *from = x + s->column[e] * channels;
            T factor = order ? all + share * m->share[s->column[e]] : even;
            if (values) factor += by * values[order ? order[e] : e];
            SOON(x, s->column + e, BLOCK);
            EACH a[c] += factor * AT(from, c);
        }
        EACH PUT(out + i * channels, c) = a[c];
    }
}

static void OF(fold)(const Side *s, int64_t first, int64_t last, const Mix *m, const T *x, T *out) {
    if (s->order && m->values) OF(fold_)(s, first, last, m, m->values, s->order, x, out);
    else if (s->order) OF(fold_)(s, first, last, m, 0, s->order, x, out);
    else if (m->values) OF(fold_)(s, first, last, m, m->values, 0, x, out);
    else OF(fold_)(s, first, last, m, 0, 0, x, out);
}

static void OF(mix)(const Side *s, int64_t first, int64_t last, const Mix *m, const T *x, T *out, const T *against,
                    double *totals) {
#define CALL(kinds, out, against, totals) OF(mix_)(s, first, last, m, kinds, x + f, out, against, totals)
    for (int f = 0; f < BLOCK; f += PART * LANES) {
        if (m->kinds & (LOW | STD)) {
            if (totals) CALL(LINEAR | HIGH | LOW | STD, out + f, 0, totals + f);
            else CALL(LINEAR | HIGH | LOW | STD, out + f, 0, 0);
        } else if (m->kinds & HIGH) {
            if (totals) CALL(LINEAR | HIGH, out + f, 0, totals + f);
            else CALL(LINEAR | HIGH, out + f, 0, 0);
        } else if (against) CALL(LINEAR, 0, against + f, totals + f);
        else CALL(LINEAR, out + f, 0, totals + f);
    }
#undef CALL
}

/* Gradients to x, which rows add to their neighbours, and to the weights. */
INLINE void OF(mix_back_)(const Side *s, const Mix *m, const int kinds, const T *x, const T *grad, T *out,
                          double *totals) {
    VEC total[KINDS][PART] = {};
    T own = m->kinds & SELF ? m->weight[3] : 0, by = m->kinds & GCN ? m->weight[2] : 0;
    T share = m->kinds & MEAN ? m->weight[1] : 0, all = m->kinds & SUM ? m->weight[0] : 0;
    T up = m->kinds & HIGH ? m->weight[4] : 0, down = m->kinds & LOW ? m->weight[5] : 0;
    T std = m->kinds & STD ? m->weight[6] : 0;
    for (int64_t i = 0; i < s->rows; i++) {
        int64_t begin = s->pointer[i], end = s->pointer[i + 1], channels = m->channels, at = i * channels;
        T even = all + share * m->share[i];
        VEC g[PART], steep[PART];
        OF(Row) r;
        OF(gather)(s, i, m, 0, 0, kinds, 1, x, &r);
        VEC ups[PART], downs[PART];
        PARTS {
            g[c] = AT(grad + at, c);
            PUT(out + at, c) += (own + (m->kinds & GCN ? by * m->diagonal[i] : 0)) * g[c];
            ups[c] = up * g[c] / r.ups[c];
            downs[c] = down * g[c] / r.downs[c];
            steep[c] = PICK(r.two[c] != 0, std * m->share[i] * g[c] / r.two[c]);
        }
        for (int64_t e = begin; e < end; e++) {
            const T *from = x + s->column[e] * channels;
            T *to = out + s->column[e] * channels, coefficient = m->values ? m->values[e] : 0;
            VEC sum[PART];
            SOON(out, s->column + e, PART * LANES);
            PARTS sum[c] = AT(to, c) + (even + by * coefficient) * g[c];
            if (kinds & HIGH) PARTS sum[c] += PICK(AT(from, c) == r.up[c], ups[c]);
            if (kinds & LOW) PARTS sum[c] += PICK(AT(from, c) == r.down[c], downs[c]);
            if (kinds & STD) PARTS sum[c] += steep[c] * (AT(from, c) - r.shift[c]);
            PARTS PUT(to, c) = sum[c];
            if (totals) PARTS {
                VEC product = g[c] * AT(from, c);
                r.even[c] += product;
                r.propagated[c] += coefficient * product;
            }
        }
        if (totals) {
            OF(tally)(m, i, x, &r, grad + at, 1, total);
            if (i % 64 == 63 || i == s->rows - 1) OF(flush)(channels, total, totals);
        }
    }
}

static void OF(mix_back)(const Side *s, const Mix *m, const T *x, const T *grad, T *out, double *totals) {
#define CALL(kinds, totals) OF(mix_back_)(s, m, kinds, x + f, grad + f, out + f, totals)
    for (int f = 0; f < BLOCK; f += PART * LANES) {
        if (m->kinds & (LOW | STD)) {
            if (totals) CALL(LINEAR | HIGH | LOW | STD, totals + f);
            else CALL(LINEAR | HIGH | LOW | STD, 0);
        } else {
            if (totals) CALL(LINEAR | HIGH, totals + f);
            else CALL(LINEAR | HIGH, 0);
        }
    }
#undef CALL
}

#undef PART
#undef PARTS
