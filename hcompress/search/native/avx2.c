/* AVX2: there is no popcount for vectors, so distances are looked up, half a byte at a time.
 *
 * For each half byte of the query a table of 16 says how far each value a code may have there is
 * from it; `vpshufb` looks 32 codes up in it at once. The XOR is in the table, and splitting
 * codes into halves is done once for all queries.
 *
 * A distance is at most 4, so a byte of a table has room for two queries: one in its low half,
 * one in its high half. Three such bytes add up without running over, and only then are the
 * halves taken apart. That is 10 steps for 32 codes' 12 bits and two queries; looking up each
 * query alone takes 12, and so does the best way of XOR-ing and counting with carry-save adders.
 */
#include "kernels.h"

#ifdef HCOMPRESS_X86
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))

enum {
    LANES = 32,               /* codes in a vector, a byte each */
    GROUPS = BLOCK / LANES,
    TABLE = 16,
    HALVES = 2,
    TRIPLE = 3,
    /* Bytes of a code whose distances (8 a byte) add up in a byte; its halves come in threes. */
    CHUNK = 30,
};

static int has_avx2(void)
{
    __builtin_cpu_init(); /* looks at what the operating system saves (XCR0) as well */
    return __builtin_cpu_supports("avx2");
}

/* Codes 0-15 of a group in the even bytes, 16-31 in the odd ones: masking and shifting then
 * widens the sums to 16 bits and leaves them in order. */
static unsigned slot_avx2(unsigned code)
{
    unsigned group = code / LANES * LANES, place = code % LANES;
    return group + (place < 16 ? 2 * place : 2 * (place - 16) + 1);
}

/* Tables of a pair of queries, with empty ones up to a whole triple. */
static size_t pair_bytes(size_t width)
{
    return (width * HALVES + TRIPLE - 1) / TRIPLE * TRIPLE * TABLE;
}

static size_t table_bytes(size_t queries, size_t width)
{
    return (queries + 1) / 2 * pair_bytes(width);
}

/* Adds a query's distances to a pair's tables: the first's to the low halves of the bytes, the
 * second's, shifted, to the high halves. */
AVX2 static void add_tables(const uint8_t *query, size_t width, uint8_t *tables, int shift)
{
    const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i ones = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    for (size_t i = 0; i < width * HALVES; i++, tables += TABLE) {
        char half = (char)(query[i / 2] >> i % 2 * 4 & 15);
        __m128i apart = _mm_xor_si128(values, _mm_set1_epi8(half));
        __m128i distances = _mm_slli_epi16(_mm_shuffle_epi8(ones, apart), shift);
        __m128i *to = (__m128i *)(void *)tables;
        _mm_storeu_si128(to, _mm_add_epi8(_mm_loadu_si128(to), distances));
    }
}

static void make_tables(const uint8_t *queries, size_t count, size_t width, uint8_t *prepared)
{
    memset(prepared, 0, table_bytes(count, width));
    for (size_t q = 0; q < count; q++)
        add_tables(queries + q * width, width, prepared + q / 2 * pair_bytes(width),
                   q % 2 ? 4 : 0);
}

AVX2 UNROLLED __m256i load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

AVX2 UNROLLED __m256i load_table(const uint8_t *from)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)from));
}

/* A group's byte sums, widened; the first chunk's are stored, the others' added to these. */
AVX2 UNROLLED void settle(__m256i sums, uint16_t *out, int first)
{
    __m256i *low = (__m256i *)(void *)out, *high = low + 1;
    __m256i even = _mm256_and_si256(sums, _mm256_set1_epi16(0xFF));
    __m256i odd = _mm256_srli_epi16(sums, 8);
    if (!first) {
        even = _mm256_add_epi16(even, _mm256_loadu_si256(low));
        odd = _mm256_add_epi16(odd, _mm256_loadu_si256(high));
    }
    _mm256_storeu_si256(low, even);
    _mm256_storeu_si256(high, odd);
}

/* One query: every half byte is needed once, so it is split off where it is looked up. */
AVX2 static void one_query(const uint8_t *bytes, size_t width, const uint8_t *tables,
                           uint16_t *out, int first)
{
    const __m256i half = _mm256_set1_epi8(15);
    __m256i sums[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        sums[g] = _mm256_setzero_si256();
    for (size_t i = 0; i < width; i++, bytes += BLOCK, tables += HALVES * TABLE) {
        __m256i low_table = load_table(tables), high_table = load_table(tables + TABLE);
        for (int g = 0; g < GROUPS; g++) {
            __m256i codes = load(bytes + g * LANES);
            __m256i low = _mm256_and_si256(codes, half);
            __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes, 4), half);
            __m256i both = _mm256_add_epi8(_mm256_shuffle_epi8(low_table, low),
                                           _mm256_shuffle_epi8(high_table, high));
            sums[g] = _mm256_add_epi8(sums[g], both);
        }
    }
    for (int g = 0; g < GROUPS; g++)
        settle(sums[g], out + g * LANES, first);
}

/* The halves of a chunk of a block, with zeros up to a whole triple. */
AVX2 static void split(const uint8_t *bytes, size_t width, __m256i *halves)
{
    const __m256i half = _mm256_set1_epi8(15);
    for (size_t i = 0; i < width; i++, bytes += BLOCK, halves += HALVES * GROUPS)
        for (int g = 0; g < GROUPS; g++) {
            __m256i codes = load(bytes + g * LANES);
            halves[g] = _mm256_and_si256(codes, half);
            halves[GROUPS + g] = _mm256_and_si256(_mm256_srli_epi16(codes, 4), half);
        }
    for (size_t i = width * HALVES; i % TRIPLE; i++, halves += GROUPS)
        for (int g = 0; g < GROUPS; g++)
            halves[g] = _mm256_setzero_si256();
}

AVX2 static void two_queries(const __m256i *halves, size_t width, const uint8_t *tables,
                             uint16_t *out, uint16_t *second_out, int first)
{
    const __m256i half = _mm256_set1_epi8(15);
    __m256i sums[GROUPS], second_sums[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        sums[g] = second_sums[g] = _mm256_setzero_si256();
    for (size_t i = 0; i < width * HALVES; i += TRIPLE, halves += TRIPLE * GROUPS) {
        __m256i a = load_table(tables), b = load_table(tables + TABLE),
                c = load_table(tables + 2 * TABLE);
        tables += TRIPLE * TABLE;
        for (int g = 0; g < GROUPS; g++) {
            __m256i both = _mm256_shuffle_epi8(a, halves[g]);
            both = _mm256_add_epi8(both, _mm256_shuffle_epi8(b, halves[GROUPS + g]));
            both = _mm256_add_epi8(both, _mm256_shuffle_epi8(c, halves[2 * GROUPS + g]));
            __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), half);
            sums[g] = _mm256_add_epi8(sums[g], _mm256_and_si256(both, half));
            second_sums[g] = _mm256_add_epi8(second_sums[g], second);
        }
    }
    for (int g = 0; g < GROUPS; g++) {
        settle(sums[g], out + g * LANES, first);
        settle(second_sums[g], second_out + g * LANES, first);
    }
}

AVX2 static void distances_avx2(const uint8_t *block, size_t width, const uint8_t *prepared,
                                size_t queries, uint16_t *out, size_t stride)
{
    __m256i halves[CHUNK * HALVES * GROUPS];
    uint16_t nobody[BLOCK];
    for (size_t start = 0; start < width; start += CHUNK) {
        size_t part = width - start < CHUNK ? width - start : CHUNK;
        const uint8_t *bytes = block + start * BLOCK;
        const uint8_t *tables = prepared + start * HALVES * TABLE;
        if (queries == 1) {
            one_query(bytes, part, tables, out, start == 0);
            continue;
        }
        split(bytes, part, halves);
        for (size_t q = 0; q < queries; q += 2, tables += pair_bytes(width)) {
            uint16_t *second = q + 1 < queries ? out + (q + 1) * stride : nobody;
            two_queries(halves, part, tables, out + q * stride, second, start == 0);
        }
    }
}

AVX2 unsigned lowest_avx2(const uint16_t *distances)
{
    __m256i lowest = load(distances);
    for (size_t i = 16; i < BLOCK; i += 16)
        lowest = _mm256_min_epu16(lowest, load(distances + i));
    __m128i eight = _mm_min_epu16(_mm256_castsi256_si128(lowest),
                                  _mm256_extracti128_si256(lowest, 1));
    return (unsigned)_mm_extract_epi16(_mm_minpos_epu16(eight), 0);
}

AVX2 void below_avx2(const uint16_t *distances, unsigned bound, uint64_t found[BLOCK / 64])
{
    /* There is no unsigned comparison: x < bound where min(x, bound - 1) is x. */
    const __m256i highest = _mm256_set1_epi16((short)(bound - 1));
    found[0] = found[1] = 0;
    for (size_t i = 0; i < BLOCK; i += 32) {
        __m256i low = load(distances + i), high = load(distances + i + 16);
        low = _mm256_cmpeq_epi16(low, _mm256_min_epu16(low, highest));
        high = _mm256_cmpeq_epi16(high, _mm256_min_epu16(high, highest));
        /* Packing works on halves of a vector: put its quarters back in order. */
        __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8);
        found[i / 64] |= (uint64_t)(uint32_t)_mm256_movemask_epi8(bytes) << i % 64;
    }
}

AVX2 void pack_signs_avx2(const float *logits, size_t bytes, uint8_t *packed)
{
    const __m256 zero = _mm256_setzero_ps();
    for (size_t i = 0; i < bytes; i++) {
        __m256 positive = _mm256_cmp_ps(_mm256_loadu_ps(logits + 8 * i), zero, _CMP_GE_OQ);
        packed[i] = (uint8_t)_mm256_movemask_ps(positive);
    }
}

const InstructionSet avx2 = {
    "avx2", has_avx2, 1, slot_avx2, table_bytes, make_tables,
    distances_avx2, lowest_avx2, below_avx2, pack_signs_avx2,
    read_avx2, arithmetic_avx2,
};
#endif
