/* The weighted sum of whole states, out = base + sum_k w_k v_k, and its gradients; included by rows.h.
 *
 * A piece of every state is treated at a time, small enough that what is added up stays in the nearest cache. */

enum { PIECE = 1024 };

INLINE int64_t share_of(int64_t size, int64_t k, int64_t n) { return k < n ? size / n * k : size; }

void combine(const T *const *values, const T *weights, int64_t count, int64_t size, const T *base, T *out,
             int64_t ranges, int64_t *counter) {
    int64_t k;
    while ((k = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED)) < ranges) {
        int64_t last = share_of(size, k + 1, ranges);
        for (int64_t at = share_of(size, k, ranges); at < last; at += PIECE) {
            int64_t length = last - at < PIECE ? last - at : PIECE;
            T *restrict to = out + at;
            for (int64_t j = 0; j < count; j++) {
                const T *restrict from = values[j] + at;
                const T weight = weights[j];
                const T *restrict on = !j && base ? base + at : 0;
                if (on) for (int64_t i = 0; i < length; i++) to[i] = on[i] + weight * from[i];
                else if (!j) for (int64_t i = 0; i < length; i++) to[i] = weight * from[i];
                else for (int64_t i = 0; i < length; i++) to[i] += weight * from[i];
            }
        }
    }
}

/* What isn't asked for is null: the gradient of a state, or the products with the gradient, [ranges, count]. */
void combine_back(const T *const *values, const T *weights, int64_t count, int64_t size, const T *grad, T *const *outs,
                  double *dots, int64_t ranges, int64_t *counter) {
    int64_t k;
    while ((k = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED)) < ranges) {
        int64_t last = share_of(size, k + 1, ranges);
        for (int64_t at = share_of(size, k, ranges); at < last; at += PIECE) {
            int64_t length = last - at < PIECE ? last - at : PIECE;
            const T *restrict given = grad + at;
            for (int64_t j = 0; j < count; j++) {
                T *restrict to = outs[j] ? outs[j] + at : 0;
                const T weight = weights[j];
                if (to) for (int64_t i = 0; i < length; i++) to[i] = weight * given[i];
                if (!dots) continue;
                const T *restrict from = values[j] + at;
                /* As many sums as a vector has places, or the compiler may not use one. */
                T sums[4 * WIDEST] = {};
                int64_t i = 0;
                for (; i + 4 * WIDEST <= length; i += 4 * WIDEST)
                    for (int c = 0; c < 4 * WIDEST; c++) sums[c] += given[i + c] * from[i + c];
                double total = 0;
                for (int c = 0; c < 4 * WIDEST; c++) total += sums[c];
                for (; i < length; i++) total += given[i] * from[i];
                dots[k * count + j] += total;
            }
        }
    }
}
