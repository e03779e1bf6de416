/* Entries sorted by row and column, and by column and row, each in one pass over counts; included by compiled.c.
 *
 * Both sorts are stable: entries that are twice there keep their order. */

/* Where the entries of each index begin, [size + 1]. */
static void begin(const int64_t *index, int64_t entries, int64_t size, int64_t *pointer) {
    memset(pointer, 0, (size + 1) * sizeof(int64_t));
    for (int64_t e = 0; e < entries; e++) pointer[index[e] + 1]++;
    for (int64_t i = 0; i < size; i++) pointer[i + 1] += pointer[i];
}

/* order: which entry stands where by rows; order_t: which of these stands where by columns. next has room for as many
 * numbers as there are rows or columns. */
void sort_entries(const int64_t *row, const int64_t *column, int64_t entries, int64_t rows, int64_t columns,
                  int64_t *pointer, int64_t *pointer_t, int64_t *order, int64_t *order_t, int64_t *sorted_row,
                  int64_t *sorted_column, int64_t *column_t, int64_t *next) {
    begin(row, entries, rows, pointer);
    begin(column, entries, columns, pointer_t);
    memcpy(next, pointer_t, columns * sizeof(int64_t));
    for (int64_t e = 0; e < entries; e++) order_t[next[column[e]]++] = e;
    memcpy(next, pointer, rows * sizeof(int64_t));
    for (int64_t k = 0; k < entries; k++) {
        int64_t e = order_t[k], at = next[row[e]]++;
        order[at] = e;
        sorted_row[at] = row[e];
        sorted_column[at] = column[e];
    }
    memcpy(next, pointer_t, columns * sizeof(int64_t));
    for (int64_t e = 0; e < entries; e++) {
        int64_t at = next[sorted_column[e]]++;
        order_t[at] = e;
        column_t[at] = sorted_row[e];
    }
}
