/* What an instruction set must offer for the search, and which of them this machine has.
 *
 * A code is `width` bytes. Codes lie in blocks of BLOCK, interleaved: first the first bytes of
 * all the block's codes, then their next bytes, and so on. One vector then holds the same bytes
 * of many codes, each lane counts for one code alone, and nothing is ever summed across lanes.
 * How many bytes of a code lie together (`unit`), and the codes' order within a block (`slot`),
 * are what suits the instruction set; search.c lays the codes out by these two.
 */
#ifndef HCOMPRESS_KERNELS_H
#define HCOMPRESS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
/* Names as plain as these must not meet another library's. */
#pragma GCC visibility push(hidden)
#endif

enum { BLOCK = 128 };

/* Distances are uint16; NONE is above every one of them and marks a slot without a code. */
#define NONE 0xFFFFu
enum { WIDEST = 0xFFF8 / 8 };

typedef struct {
    const char *name;
    int (*present)(void);
    size_t unit;
    unsigned (*slot)(unsigned code);

    /* Queries in the form `distances` reads: the bytes they take, and the making of it. */
    size_t (*prepared_bytes)(size_t queries, size_t width);
    void (*prepare)(const uint8_t *queries, size_t count, size_t width, uint8_t *prepared);

    /* Distances of prepared queries to a block's codes. Query q's go to out[q * stride ...], in
     * the codes' order. */
    void (*distances)(const uint8_t *block, size_t width, const uint8_t *prepared,
                      size_t queries, uint16_t *out, size_t stride);

    /* The lowest of BLOCK distances; and a bit for each that is below `bound` (at least 1). */
    unsigned (*lowest)(const uint16_t *distances);
    void (*below)(const uint16_t *distances, unsigned bound, uint64_t found[BLOCK / 64]);

    /* Eight floats to a byte, lowest bit first: 1 where the float is >= 0. */
    void (*pack_signs)(const float *logits, size_t bytes, uint8_t *packed);

    /* For benchmarks, the two limits (limits.c). Reading `bytes` bytes, a multiple of BLOCK, once;
     * and the arithmetic alone, everything in registers, for `queries` queries, an even number,
     * and `bytes` bytes of codes each. The answers only keep the work from being left out. */
    uint64_t (*read)(const uint8_t *blocks, size_t bytes);
    uint64_t (*arithmetic)(size_t bytes, size_t queries);
} InstructionSet;

/* Fastest first, NULL last; those this machine lacks are among them. */
extern const InstructionSet *const instruction_sets[];

extern const InstructionSet portable;

#if defined(__GNUC__) && defined(__x86_64__)
#define HCOMPRESS_X86 1
extern const InstructionSet avx512, avx2, popcnt;
uint64_t read_avx512(const uint8_t *blocks, size_t bytes);
uint64_t arithmetic_avx512(size_t bytes, size_t queries);
uint64_t read_avx2(const uint8_t *blocks, size_t bytes);
uint64_t arithmetic_avx2(size_t bytes, size_t queries);
uint64_t arithmetic_popcnt(size_t bytes, size_t queries);
unsigned lowest_avx2(const uint16_t *distances);
void below_avx2(const uint16_t *distances, unsigned bound, uint64_t found[BLOCK / 64]);
void pack_signs_avx2(const float *logits, size_t bytes, uint8_t *packed);
#endif

#if defined(__GNUC__) && defined(__aarch64__) && !defined(__AARCH64EB__)
#define HCOMPRESS_NEON 1
extern const InstructionSet neon;
#endif

/* Shared by the sets that have nothing better (portable.c). */
unsigned slot_in_order(unsigned code);
size_t padded_bytes(size_t width, size_t unit);
void pad_queries(const uint8_t *queries, size_t count, size_t width, size_t unit,
                 uint8_t *prepared);
void below_portable(const uint16_t *distances, unsigned bound, uint64_t found[BLOCK / 64]);
uint64_t read_portable(const uint8_t *blocks, size_t bytes);
uint64_t arithmetic_portable(size_t bytes, size_t queries);
void pack_signs_portable(const float *logits, size_t bytes, uint8_t *packed);

#if defined(__GNUC__)
/* The kernels' bodies are compiled once for each number of queries, as if written out. */
#define UNROLLED static inline __attribute__((always_inline))
#else
#define UNROLLED static inline
#endif

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
