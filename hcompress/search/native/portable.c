/* Plain C for any machine, the same with x86's popcnt instruction, and the list of all sets. */
#include "count.h"

#include <string.h>

enum { WORD = 8, AT_ONCE = 8 };

unsigned slot_in_order(unsigned code)
{
    return code;
}

static int always(void)
{
    return 1;
}

size_t padded_bytes(size_t width, size_t unit)
{
    return (width + unit - 1) / unit * unit;
}

/* Queries end in zeros up to a whole unit, as the codes do. */
void pad_queries(const uint8_t *queries, size_t count, size_t width, size_t unit,
                 uint8_t *prepared)
{
    size_t padded = padded_bytes(width, unit);
    memset(prepared, 0, count * padded);
    for (size_t q = 0; q < count; q++)
        memcpy(prepared + q * padded, queries + q * width, width);
}

static size_t word_bytes(size_t queries, size_t width)
{
    return queries * padded_bytes(width, WORD);
}

static void pad_to_words(const uint8_t *queries, size_t count, size_t width, uint8_t *prepared)
{
    pad_queries(queries, count, width, WORD, prepared);
}

/* The function that counts is known where this is called, so it is inlined as well. */
UNROLLED void count_words(unsigned (*count)(uint64_t), const uint8_t *block, size_t width,
                          const uint8_t *query, uint16_t *out)
{
    for (size_t first = 0; first < BLOCK; first += AT_ONCE) {
        unsigned sums[AT_ONCE] = {0};
        for (size_t byte = 0; byte < width; byte += WORD) {
            const uint8_t *codes = block + byte * BLOCK + first * WORD;
            uint64_t wanted, word;
            memcpy(&wanted, query + byte, WORD);
            for (size_t i = 0; i < AT_ONCE; i++) {
                memcpy(&word, codes + i * WORD, WORD);
                sums[i] += count(word ^ wanted);
            }
        }
        for (size_t i = 0; i < AT_ONCE; i++)
            out[first + i] = (uint16_t)sums[i];
    }
}

static void distances_portable(const uint8_t *block, size_t width, const uint8_t *prepared,
                               size_t queries, uint16_t *out, size_t stride)
{
    for (size_t q = 0; q < queries; q++)
        count_words(COUNT, block, width, prepared + q * padded_bytes(width, WORD), out + q * stride);
}

static unsigned lowest_portable(const uint16_t *distances)
{
    unsigned lowest = NONE;
    for (size_t i = 0; i < BLOCK; i++)
        lowest = distances[i] < lowest ? distances[i] : lowest;
    return lowest;
}

void below_portable(const uint16_t *distances, unsigned bound, uint64_t found[BLOCK / 64])
{
    for (size_t i = 0; i < BLOCK; i += 64) {
        uint64_t bits = 0;
        for (size_t j = 0; j < 64; j++)
            bits |= (uint64_t)(distances[i + j] < bound) << j;
        found[i / 64] = bits;
    }
}

void pack_signs_portable(const float *logits, size_t bytes, uint8_t *packed)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned bits = 0;
        for (unsigned j = 0; j < 8; j++)
            bits |= (unsigned)(logits[8 * i + j] >= 0) << j;
        packed[i] = (uint8_t)bits;
    }
}

const InstructionSet portable = {
    "portable", always, WORD, slot_in_order, word_bytes, pad_to_words,
    distances_portable, lowest_portable, below_portable, pack_signs_portable,
    read_portable, arithmetic_portable,
};

#ifdef HCOMPRESS_X86
static int has_popcnt(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("popcnt");
}

__attribute__((target("popcnt"))) static void distances_popcnt(
    const uint8_t *block, size_t width, const uint8_t *prepared, size_t queries,
    uint16_t *out, size_t stride)
{
    for (size_t q = 0; q < queries; q++)
        count_words(count_by_instruction, block, width, prepared + q * padded_bytes(width, WORD),
                    out + q * stride);
}

const InstructionSet popcnt = {
    "popcnt", has_popcnt, WORD, slot_in_order, word_bytes, pad_to_words,
    distances_popcnt, lowest_portable, below_portable, pack_signs_portable,
    read_portable, arithmetic_popcnt,
};
#endif

const InstructionSet *const instruction_sets[] = {
#ifdef HCOMPRESS_X86
    &avx512, &avx2, &popcnt,
#endif
#ifdef HCOMPRESS_NEON
    &neon,
#endif
    &portable,
    NULL,
};
