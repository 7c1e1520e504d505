/* AVX-512 with VPOPCNTDQ: XOR, count and add, sixteen codes' four bytes at a time.
 *
 * Four bytes, not eight, because a query's four bytes are broadcast by the load itself, and two
 * vectors of 32-bit sums fold into one of 16-bit distances by a shift and an OR: the work
 * besides the three instructions that must be is two for every 32 codes.
 *
 * The tests also build this file with HCOMPRESS_EMULATED_AVX512, the name of a header in which
 * the intrinsics are plain C: so its logic is tested on machines that could not run it.
 */
#include "kernels.h"

#ifdef HCOMPRESS_X86
#include <string.h>

#ifdef HCOMPRESS_EMULATED_AVX512
#include HCOMPRESS_EMULATED_AVX512
#define AVX512
#else
#include <immintrin.h>
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vpopcntdq")))
#endif

enum {
    PIECE = 4,                 /* bytes of a code in a lane */
    LANES = 16,                /* codes in a vector */
    VECTORS = BLOCK / LANES,
    BYTES = 64,
};

static int has_avx512(void)
{
#ifdef HCOMPRESS_EMULATED_AVX512
    return avx2.present();
#else
    __builtin_cpu_init(); /* looks at what the operating system saves (XCR0) as well */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vpopcntdq") && avx2.present();
#endif
}

/* Of 32 codes, one vector has those with even and the next those with odd numbers: shifted and
 * OR-ed together, their sums are in order. */
static unsigned slot_avx512(unsigned code)
{
    return code / 32 * 32 + code % 2 * LANES + code % 32 / 2;
}

static size_t piece_bytes(size_t queries, size_t width)
{
    return queries * padded_bytes(width, PIECE);
}

static void pad_to_pieces(const uint8_t *queries, size_t count, size_t width, uint8_t *prepared)
{
    pad_queries(queries, count, width, PIECE, prepared);
}

/* Sixteen sums for two queries stay in registers; each vector of codes is loaded once. */
AVX512 UNROLLED void count(int queries, const uint8_t *block, size_t width,
                           const uint8_t *prepared, uint16_t *out, size_t stride)
{
    size_t next_query = padded_bytes(width, PIECE);
    __m512i sums[2][VECTORS];
    for (int q = 0; q < queries; q++)
        for (int v = 0; v < VECTORS; v++)
            sums[q][v] = _mm512_setzero_si512();
    for (size_t byte = 0; byte < width; byte += PIECE) {
        __m512i wanted[2];
        for (int q = 0; q < queries; q++) {
            int32_t piece;
            memcpy(&piece, prepared + (size_t)q * next_query + byte, PIECE);
            wanted[q] = _mm512_set1_epi32(piece);
        }
        for (int v = 0; v < VECTORS; v++) {
            __m512i codes = _mm512_loadu_si512(block + byte * BLOCK + (size_t)v * BYTES);
            for (int q = 0; q < queries; q++) {
                __m512i differing = _mm512_xor_si512(codes, wanted[q]);
                sums[q][v] = _mm512_add_epi32(sums[q][v], _mm512_popcnt_epi32(differing));
            }
        }
    }
    for (int q = 0; q < queries; q++)
        for (int v = 0; v < VECTORS; v += 2) {
            __m512i odd = _mm512_slli_epi32(sums[q][v + 1], 16);
            _mm512_storeu_si512(out + (size_t)q * stride + v * LANES,
                                _mm512_or_si512(sums[q][v], odd));
        }
}

AVX512 static void distances_avx512(const uint8_t *block, size_t width, const uint8_t *prepared,
                                    size_t queries, uint16_t *out, size_t stride)
{
    size_t next_query = padded_bytes(width, PIECE), q = 0;
    for (; q + 2 <= queries; q += 2)
        count(2, block, width, prepared + q * next_query, out + q * stride, stride);
    if (q < queries)
        count(1, block, width, prepared + q * next_query, out + q * stride, stride);
}

const InstructionSet avx512 = {
    "avx512-vpopcntdq", has_avx512, PIECE, slot_avx512, piece_bytes, pad_to_pieces,
    distances_avx512, lowest_avx2, below_avx2, pack_signs_avx2,
    read_avx512, arithmetic_avx512,
};
#endif
