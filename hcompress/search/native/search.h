/* Exhaustive search of a codebook: the nearest codes of each query, and their probabilities. */
#ifndef HCOMPRESS_SEARCH_H
#define HCOMPRESS_SEARCH_H

#include "kernels.h"

/* A codebook of `count` codes of `width` bytes, laid out for a set by `lay_out`. */
typedef struct {
    const InstructionSet *set;
    const uint8_t *blocks;
    size_t count, width;
    int64_t first_id;        /* the first code's; the others' count up from it */
} Codebook;

/* What is asked, and where the answers go: `kept` for each of `count` queries, nearest first,
 * ties to the lowest id. `probabilities` may be NULL. */
typedef struct {
    const uint8_t *queries;
    size_t count, kept;
    int64_t *ids;
    int32_t *distances;
    float *probabilities;
    const double *weights;   /* exp(-x / temperature) for x of 0 to 8 * width */
    unsigned window;         /* weights beyond it may be taken as 0 */
} Request;

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

size_t layout_bytes(const InstructionSet *set, size_t count, size_t width);
void lay_out(const InstructionSet *set, const uint8_t *codes, size_t count, size_t width,
             uint8_t *blocks);

/* 0, or -1 where memory ran out. */
int search(const Codebook *codebook, const Request *request);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
