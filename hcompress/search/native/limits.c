/* What no search can beat, for benchmarks: reading the codebook once, and doing the arithmetic.
 *
 * The arithmetic is the search's own, without loading, storing or looking at the sums: XOR, count
 * and add; for AVX2 the look-ups. NEON has only the portable limits. */
#include "count.h"

#include <string.h>

enum { CHAINS = 8 };

/* Keeps the compiler from working a value out beforehand, or keeping it from one round on. */
#if defined(__GNUC__) && defined(HCOMPRESS_X86)
#define OPAQUE_VECTOR(value) __asm__ volatile("" : "+v"(value))
#endif
#if defined(__GNUC__)
#define OPAQUE_WORD(value) __asm__ volatile("" : "+r"(value))
#else
#define OPAQUE_WORD(value) (*(volatile uint64_t *)&(value) = (value))
#endif

uint64_t read_portable(const uint8_t *blocks, size_t bytes)
{
    uint64_t all = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, blocks + i, sizeof word);
        all ^= word;
    }
    return all;
}

UNROLLED uint64_t count_in_registers(unsigned (*count)(uint64_t), size_t bytes, size_t queries)
{
    uint64_t sums[CHAINS] = {0}, word = bytes, all = 0;
    for (size_t i = 0; i < bytes / 8 * queries; i += CHAINS)
        for (int j = 0; j < CHAINS; j++) {
            OPAQUE_WORD(word);
            sums[j] += count(word ^ i);
        }
    for (int j = 0; j < CHAINS; j++)
        all += sums[j];
    return all;
}

uint64_t arithmetic_portable(size_t bytes, size_t queries)
{
    return count_in_registers(COUNT, bytes, queries);
}

#ifdef HCOMPRESS_X86
#include <immintrin.h>

__attribute__((target("popcnt"))) uint64_t arithmetic_popcnt(size_t bytes, size_t queries)
{
    return count_in_registers(count_by_instruction, bytes, queries);
}

#define AVX2 __attribute__((target("avx2")))

AVX2 uint64_t read_avx2(const uint8_t *blocks, size_t bytes)
{
    __m256i all[4];
    memset(all, 0, sizeof all);
    for (size_t i = 0; i < bytes; i += sizeof all)
        for (size_t j = 0; j < 4; j++) {
            const void *from = blocks + i + j * sizeof *all;
            all[j] = _mm256_xor_si256(all[j], _mm256_loadu_si256((const __m256i *)from));
        }
    all[0] = _mm256_xor_si256(_mm256_xor_si256(all[0], all[1]), _mm256_xor_si256(all[2], all[3]));
    return (uint64_t)_mm256_extract_epi64(all[0], 0);
}

/* two_queries of avx2.c: 10 steps for three half bytes, 12 bits, of 32 codes and two queries. */
AVX2 uint64_t arithmetic_avx2(size_t bytes, size_t queries)
{
    const __m256i half = _mm256_set1_epi8(15);
    __m256i table = half, codes = half, sums[CHAINS];
    memset(sums, 0, sizeof sums);
    for (size_t i = 0; i < bytes * queries / 96; i += CHAINS / 2)
        for (int j = 0; j < CHAINS; j += 2) {
            __m256i both = _mm256_shuffle_epi8(table, codes);
            OPAQUE_VECTOR(table);
            both = _mm256_add_epi8(both, _mm256_shuffle_epi8(table, codes));
            OPAQUE_VECTOR(table);
            both = _mm256_add_epi8(both, _mm256_shuffle_epi8(table, codes));
            OPAQUE_VECTOR(table);
            __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), half);
            sums[j] = _mm256_add_epi8(sums[j], _mm256_and_si256(both, half));
            sums[j + 1] = _mm256_add_epi8(sums[j + 1], second);
        }
    for (int j = 1; j < CHAINS; j++)
        sums[0] = _mm256_add_epi8(sums[0], sums[j]);
    return (uint64_t)_mm256_extract_epi64(sums[0], 0);
}

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vpopcntdq")))

AVX512 uint64_t read_avx512(const uint8_t *blocks, size_t bytes)
{
    __m512i even = _mm512_setzero_si512(), odd = even;
    for (size_t i = 0; i < bytes; i += 128) {
        even = _mm512_xor_si512(even, _mm512_loadu_si512(blocks + i));
        odd = _mm512_xor_si512(odd, _mm512_loadu_si512(blocks + i + 64));
    }
    return (uint64_t)_mm512_reduce_add_epi64(_mm512_xor_si512(even, odd));
}

AVX512 uint64_t arithmetic_avx512(size_t bytes, size_t queries)
{
    __m512i codes = _mm512_set1_epi32(15), query = codes, sums[CHAINS];
    memset(sums, 0, sizeof sums);
    for (size_t i = 0; i < bytes * queries / 64; i += CHAINS)
        for (int j = 0; j < CHAINS; j++) {
            OPAQUE_VECTOR(query);
            __m512i differing = _mm512_xor_si512(codes, query);
            sums[j] = _mm512_add_epi32(sums[j], _mm512_popcnt_epi32(differing));
        }
    for (int j = 1; j < CHAINS; j++)
        sums[0] = _mm512_add_epi32(sums[0], sums[j]);
    return (uint64_t)_mm512_reduce_add_epi64(sums[0]);
}
#endif
