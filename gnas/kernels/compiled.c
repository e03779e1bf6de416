/* Message passing on compressed rows, for one CPU. Built by build.py, called through ctypes by compiled.py.
 *
 * Compiled once for float and once, with -DDOUBLE, for double. rows.h includes blocks.h once for every block of
 * channels that is kept in registers. A row of F channels is covered by blocks of falling width; where a block may be computed twice, the last
 * one reaches back, so that few rests remain. No instruction set is named: the vectors are the compiler's, as wide as
 * the machine that it compiles for.
 *
 * A pattern is one array of int32: pointer [rows + 1], column [entries], then the same matrix by columns:
 * pointer_t [columns + 1], column_t [entries], order_t [entries] (position in row order), and AHEAD zeros, because the
 * loops look that far ahead of the entry that they treat, to fetch what it will read. Rows are shared out among
 * threads in ranges that a counter hands out; each row is computed by one thread in a fixed order, so that no bit
 * of the result depends on the number of threads. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define AHEAD 8 /* graph.py knows it as PADDING */
#define SCRATCH 2048 /* numbers of a chunk of [entries, heads] */

/* GCC since 12 and clang; older compilers add a vector's numbers up one by one. */
#ifdef __has_builtin
#define SHUFFLES __has_builtin(__builtin_shufflevector)
#else
#define SHUFFLES 0
#endif

#if defined(__AVX512F__)
#define FLOATS 16
#define DOUBLES 8
#elif defined(__AVX__)
#define FLOATS 8
#define DOUBLES 4
#else
#define FLOATS 4
#define DOUBLES 2
#endif

typedef struct {
    int64_t rows;
    const int32_t *pointer, *column, *order; /* order is null where the entries are in their own order */
} Side;

/* The rows of a pattern, or its columns. */
INLINE Side side(const int32_t *pattern, int64_t rows, int64_t columns, int64_t entries, int transposed) {
    const int32_t *second = pattern + rows + 1 + entries;
    if (!transposed) return (Side){rows, pattern, pattern + rows + 1, 0};
    return (Side){columns, second, second + columns + 1, second + columns + 1 + entries};
}

/* The first row of range number k of n: ranges hold about as many rows and entries each. */
static int64_t cut(const Side *s, int64_t k, int64_t n) {
    if (k >= n) return s->rows;
    int64_t goal = (s->pointer[s->rows] + s->rows) / n * k, low = 0, high = s->rows;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (s->pointer[middle] + middle < goal) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The number of the next range of rows that no thread has taken yet, or -1. */
INLINE int64_t take(const Side *s, int64_t ranges, int64_t *counter, int64_t *first, int64_t *last) {
    int64_t k = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    if (k >= ranges) return -1;
    *first = cut(s, k, ranges);
    *last = cut(s, k + 1, ranges);
    return k;
}

#ifdef DOUBLE
#define T double
#define BITS int64_t
#define WIDEST DOUBLES
#else
#define T float
#define BITS int32_t
#define WIDEST FLOATS
#endif
#include "sort.h"
#include "rows.h"
