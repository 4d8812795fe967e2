/* What PyTorch does in many small steps on a CPU, done in one pass over memory; bound and described in the modules beside it.

   Every function works on float32 in vectors of LANES numbers, what the instruction set compiled for has in a register: 16 (AVX-512), 8
   (AVX2), 4 (NEON, and plain C, of which the compiler makes what there is). Rows are shared out among a fixed number of threads, and sums
   over rows are kept apart per thread, so a result depends on instruction set and number of threads only, never on their order.
   Nothing here assumes finite numbers: NaN and infinity come out as they would of PyTorch.

   LANES, EPSILON of LayerNorm, CLASSES and BINS, the most that are served, are given to the compiler by library.py. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define WHOLE(width) ((width) / LANES) /* vectors in so many numbers */

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef float unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vector load(const float *from) { return *(const unaligned *)from; }
INLINE void store(float *to, vector v) { *(unaligned *)to = v; }
INLINE vector all(float x) { return x - (vector){0}; }
INLINE vector choose(integers where, vector a, vector b) { return (vector)((where & (integers)a) | (~where & (integers)b)); }

/* The larger and the smaller of two; a NaN in the second stays. */
#if defined __AVX512F__ && LANES == 16
INLINE vector most(vector a, vector b) { return (vector)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vector least(vector a, vector b) { return (vector)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined __AVX2__ && LANES == 8
INLINE vector most(vector a, vector b) { return (vector)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vector least(vector a, vector b) { return (vector)_mm256_min_ps((__m256)a, (__m256)b); }
#else
INLINE vector most(vector a, vector b) { return choose(a > b, a, b); }
INLINE vector least(vector a, vector b) { return choose(a < b, a, b); }
#endif

/* e^x to 2 ulp between -87 and 88, where float32 ends: 2^n e^r with |r| < 0.35, e^r by a polynomial. */
INLINE vector exponential(vector x) {
    const vector magic = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits */
    x = least(all(88.0f), most(all(-87.0f), x));
    vector n = x * 1.44269504088896341f + magic;
    integers power = ((integers)n - (integers)magic + 127) << 23;
    n -= magic;
    vector r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * r * r + r + 1.0f) * (vector)power;
}

INLINE vector sigmoid(vector x) { return 1.0f / (1.0f + exponential(-x)); }
INLINE vector hyperbolic_tangent(vector x) { return 2.0f * sigmoid(2.0f * x) - 1.0f; }

/* Sum over lanes, in every lane; if halves, over each half of 8 by itself. */
#if LANES == 16
#define SHUFFLED(v, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) __builtin_shufflevector(v, v, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
#elif LANES == 8
#define SHUFFLED(v, a, b, c, d, e, f, g, h, ...) __builtin_shufflevector(v, v, a, b, c, d, e, f, g, h)
#else
#define SHUFFLED(v, a, b, c, d, ...) __builtin_shufflevector(v, v, a, b, c, d)
#endif

INLINE vector total(vector v, int halves) {
    (void)halves;
    v += SHUFFLED(v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    v += SHUFFLED(v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
#if LANES > 4
    v += SHUFFLED(v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
#endif
#if LANES > 8
    if (!halves) v += SHUFFLED(v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
#endif
    return v;
}

INLINE vector reciprocal_root(vector v) {
    for (int lane = 0; lane < LANES; lane++) v[lane] = 1.0f / sqrtf(v[lane]);
    return v;
}

/* LayerNorm of one row of `vectors` times LANES numbers, or of two rows of 8 side by side (halves; 16 lanes only). */
typedef struct {
    vector mean, scale;
} statistics;

INLINE statistics measure(const float *x, long vectors, int halves) {
    const float share = 1.0f / (halves ? 8 : vectors * LANES);
    vector sum = {0}, square = {0};
    for (long i = 0; i < vectors; i++) sum += load(x + i * LANES);
    statistics s = {.mean = total(sum, halves) * share};
    for (long i = 0; i < vectors; i++) {
        vector d = load(x + i * LANES) - s.mean;
        square += d * d;
    }
    square = total(square, halves) * share + EPSILON;
    s.scale = halves ? reciprocal_root(square) : all(1.0f / sqrtf(square[0]));
    return s;
}

/* Gradient of LayerNorm's input; gx holds the gradient of its normalised and weighted output on entry. Adds to those of weight and bias. */
INLINE void norm_back(const float *restrict x, const float *restrict weight, float *restrict gx, float *restrict gw,
                             float *restrict gb, statistics s, long vectors, int halves) {
    const float share = 1.0f / (halves ? 8 : vectors * LANES);
    vector sum = {0}, product = {0};
    for (long i = 0; i < vectors * LANES; i += LANES) {
        vector g = load(gx + i), normal = (load(x + i) - s.mean) * s.scale;
        store(gw + i, load(gw + i) + g * normal);
        store(gb + i, load(gb + i) + g);
        g *= load(weight + i);
        store(gx + i, g);
        sum += g;
        product += g * normal;
    }
    sum = total(sum, halves) * share;
    product = total(product, halves) * share;
    for (long i = 0; i < vectors * LANES; i += LANES)
        store(gx + i, (load(gx + i) - sum - (load(x + i) - s.mean) * s.scale * product) * s.scale);
}

INLINE void silu_row(const float *x, const float *weight, const float *bias, float *y, long vectors, int halves) {
    statistics s = measure(x, vectors, halves);
    for (long i = 0; i < vectors * LANES; i += LANES) {
        vector z = (load(x + i) - s.mean) * s.scale * load(weight + i) + load(bias + i);
        store(y + i, z * sigmoid(z));
    }
}

INLINE void silu_row_back(const float *restrict x, const float *restrict weight, const float *restrict bias,
                                 const float *restrict gy, float *restrict gx, float *restrict gw, float *restrict gb, long vectors,
                                 int halves) {
    statistics s = measure(x, vectors, halves);
    for (long i = 0; i < vectors * LANES; i += LANES) {
        vector z = (load(x + i) - s.mean) * s.scale * load(weight + i) + load(bias + i), open = sigmoid(z);
        store(gx + i, load(gy + i) * open * (1.0f + z * (1.0f - open)));
    }
    norm_back(x, weight, gx, gw, gb, s, vectors, halves);
}

/* The widths of which pictures have most rows get code of their own: the compiler then keeps a row in registers. */
#define BY_WIDTH(vectors, CALL) \
    switch (vectors) {          \
    case 1: CALL(1); break;     \
    case 2: CALL(2); break;     \
    case 4: CALL(4); break;     \
    case 8: CALL(8); break;     \
    default: CALL(vectors);     \
    }

/* Rows [0, rows) of one head. */
static void silu_rows(const float *x, const float *w, const float *b, float *y, long rows, long vectors, long stride) {
#define CALL(n) \
    for (long row = 0; row < rows; row++) silu_row(x + row * stride, w, b, y + row * n * LANES, n, 0)
    BY_WIDTH(vectors, CALL)
#undef CALL
}

static void silu_rows_back(const float *x, const float *w, const float *b, const float *gy, float *gx, float *gw, float *gb, long rows,
                           long vectors, long stride) {
#define CALL(n)                              \
    for (long row = 0; row < rows; row++)    \
    silu_row_back(x + row * stride, w, b, gy + row * n * LANES, gx + row * stride, gw, gb, n, 0)
    BY_WIDTH(vectors, CALL)
#undef CALL
}

#if LANES > 8
/* Two rows of 8 at a time; an odd last one is done beside a row of zeros. */
static void silu_pairs(const float *x, const float *w, const float *b, float *y, long rows) {
    float ww[LANES], bb[LANES], xx[LANES] = {0}, yy[LANES];
    for (int i = 0; i < LANES; i++) ww[i] = w[i % 8], bb[i] = b[i % 8];
    for (long i = 0; i < rows / 2 * LANES; i += LANES) silu_row(x + i, ww, bb, y + i, 1, 1);
    if (rows % 2) {
        memcpy(xx, x + (rows - 1) * 8, 32);
        silu_row(xx, ww, bb, yy, 1, 1);
        memcpy(y + (rows - 1) * 8, yy, 32);
    }
}

static void silu_pairs_back(const float *x, const float *w, const float *b, const float *gy, float *gx, float *gw, float *gb, long rows) {
    float ww[LANES], bb[LANES], gww[LANES] = {0}, gbb[LANES] = {0}, xx[LANES] = {0}, gyy[LANES] = {0}, gxx[LANES];
    for (int i = 0; i < LANES; i++) ww[i] = w[i % 8], bb[i] = b[i % 8];
    for (long i = 0; i < rows / 2 * LANES; i += LANES) silu_row_back(x + i, ww, bb, gy + i, gx + i, gww, gbb, 1, 1);
    if (rows % 2) {
        memcpy(xx, x + (rows - 1) * 8, 32);
        memcpy(gyy, gy + (rows - 1) * 8, 32);
        silu_row_back(xx, ww, bb, gyy, gxx, gww, gbb, 1, 1);
        memcpy(gx + (rows - 1) * 8, gxx, 32);
    }
    for (int i = 0; i < LANES; i++) gw[i % 8] += gww[i], gb[i % 8] += gbb[i];
}
#endif

INLINE long smaller(long a, long b) { return a < b ? a : b; }
INLINE long larger(long a, long b) { return a > b ? a : b; }

/* For each head that has rows among a thread's share of all heads' rows: `head`, and its rows `from` up to `to`. There are as many shares as
   threads were asked for, however many the system gives. */
#define SHARE(heads, rows, threads)                                                                                            \
    _Pragma("omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)")                                      \
    for (long thread = 0; thread < (threads); thread++)                                                                        \
        for (long begin = (heads) * (rows) * thread / (threads), end = (heads) * (rows) * (thread + 1) / (threads),            \
                  head = begin / (rows), from, to;                                                                             \
             head * (rows) < end; head++)                                                                                      \
            if (from = larger(begin, head * (rows)) - head * (rows), to = smaller(end, (head + 1) * (rows)) - head * (rows), to > from)

/* y [heads, rows, width] = SiLU(LayerNorm(x)); x has its own strides over heads and rows; weight and bias are [heads, width]. */
void norm_silu(const float *x, const float *weight, const float *bias, float *y, long heads, long rows, long width, long head_stride,
               long row_stride, long threads) {
    SHARE(heads, rows, threads) {
        const float *in = x + head * head_stride + from * row_stride, *w = weight + head * width, *b = bias + head * width;
        float *out = y + (head * rows + from) * width;
#if LANES > 8
        if (width == 8)
            silu_pairs(in, w, b, out, to - from);
        else
#endif
            silu_rows(in, w, b, out, to - from, width / LANES, row_stride);
    }
}

/* Gradients: gx laid out as x, sums [threads, 2, heads, width] (weight, bias; zero on entry). */
void norm_silu_back(const float *x, const float *weight, const float *bias, const float *gy, float *gx, float *sums, long heads, long rows,
                    long width, long head_stride, long row_stride, long threads) {
    SHARE(heads, rows, threads) {
        const long place = head * head_stride + from * row_stride;
        const float *w = weight + head * width, *b = bias + head * width, *out = gy + (head * rows + from) * width;
        float *gw = sums + (2 * thread * heads + head) * width, *gb = gw + heads * width;
#if LANES > 8
        if (width == 8)
            silu_pairs_back(x + place, w, b, out, gx + place, gw, gb, to - from);
        else
#endif
            silu_rows_back(x + place, w, b, out, gx + place, gw, gb, to - from, width / LANES, row_stride);
    }
}

/* The GRU's gates from their joint projection: x [3 units] is normalised, then h' = h + u (tanh(r c) - h) with u = sigmoid(. - 1). */
typedef struct {
    vector reset, drive, candidate, update;
} gates;

INLINE gates open_gates(const float *x, const float *weight, const float *bias, statistics s, long units, long i) {
    vector z[3];
    for (int part = 0; part < 3; part++) {
        const long at = part * units + i;
        z[part] = (load(x + at) - s.mean) * s.scale * load(weight + at) + load(bias + at);
    }
    gates g = {.reset = sigmoid(z[0]), .drive = z[1], .update = sigmoid(z[2] - 1.0f)};
    g.candidate = hyperbolic_tangent(g.reset * g.drive);
    return g;
}

static void recur_row(const float *x, const float *weight, const float *bias, const float *h, float *next, long units) {
    statistics s = measure(x, 3 * units / LANES, 0);
    for (long i = 0; i < units; i += LANES) {
        gates g = open_gates(x, weight, bias, s, units, i);
        store(next + i, load(h + i) + g.update * (g.candidate - load(h + i)));
    }
}

/* gx and gh are set, gw and gb are added to. */
static void recur_row_back(const float *x, const float *weight, const float *bias, const float *h, const float *gnext, float *gx, float *gh,
                           float *gw, float *gb, long units) {
    statistics s = measure(x, 3 * units / LANES, 0);
    for (long i = 0; i < units; i += LANES) {
        gates g = open_gates(x, weight, bias, s, units, i);
        vector gn = load(gnext + i), gdrive = gn * g.update * (1.0f - g.candidate * g.candidate);
        store(gh + i, gn * (1.0f - g.update));
        store(gx + i, gdrive * g.drive * g.reset * (1.0f - g.reset));
        store(gx + units + i, gdrive * g.reset);
        store(gx + 2 * units + i, gn * (g.candidate - load(h + i)) * g.update * (1.0f - g.update));
    }
    norm_back(x, weight, gx, gw, gb, s, 3 * units / LANES, 0);
}

void recur(const float *x, const float *weight, const float *bias, const float *h, float *next, long rows, long units, long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long row = 0; row < rows; row++) recur_row(x + row * 3 * units, weight, bias, h + row * units, next + row * units, units);
}

/* sums is [threads, 2, 3 units], zero on entry. */
void recur_back(const float *x, const float *weight, const float *bias, const float *h, const float *gnext, float *gx, float *gh,
                float *sums, long rows, long units, long threads) {
    SHARE(1L, rows, threads) {
        float *gw = sums + thread * 6 * units;
        for (long row = from; row < to; row++)
            recur_row_back(x + row * 3 * units, weight, bias, h + row * units, gnext + row * units, gx + row * 3 * units,
                           gh + row * units, gw, gw + 3 * units, units);
    }
}

/* Categorical draws, one a lane. Logits of `classes` each become probabilities with `mix` of the uniform distribution, and a class is drawn by
   inverting their running sum. probabilities and onehot may be null. */
static void draw_block(const float *logits, const float *uniform, float *probabilities, float *onehot, int64_t *index, long draws,
                       long classes, float mix) {
    float turned[CLASSES][LANES] = {0}, places[LANES] = {0};
    vector p[CLASSES], sum = {0}, largest = all(-INFINITY), running = {0};
    for (long lane = 0; lane < draws; lane++) {
        places[lane] = uniform[lane];
        for (long k = 0; k < classes; k++) turned[k][lane] = logits[lane * classes + k];
    }
    for (long k = 0; k < classes; k++) {
        p[k] = load(turned[k]);
        largest = most(largest, p[k]); /* a NaN stays */
    }
    for (long k = 0; k < classes; k++) sum += p[k] = exponential(p[k] - largest);
    const vector share = (1.0f - mix) / sum;
    for (long k = 0; k < classes; k++) running += p[k] = p[k] * share + mix / classes;
    const vector target = load(places) * running;
    integers chosen = {0};
    running = (vector){0};
    for (long k = 0; k < classes; k++) {
        chosen -= (running += p[k]) <= target;
        store(turned[k], p[k]);
    }
    for (long lane = 0; lane < draws; lane++) {
        index[lane] = smaller(chosen[lane], classes - 1);
        if (probabilities)
            for (long k = 0; k < classes; k++) probabilities[lane * classes + k] = turned[k][lane];
        if (onehot)
            for (long k = 0; k < classes; k++) onehot[lane * classes + k] = k == index[lane];
    }
}

void draw(const float *logits, const float *uniform, float *probabilities, float *onehot, int64_t *index, long draws, long classes,
          double mix, long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long first = 0; first < draws; first += LANES)
        draw_block(logits + first * classes, uniform + first, probabilities ? probabilities + first * classes : 0,
                   onehot ? onehot + first * classes : 0, index + first, smaller(draws - first, LANES), classes, (float)mix);
}

/* Convolutions of kernel 4, stride 2 and padding 1 between pictures of 3 colours [side, side, 3] and maps [half, half, channels], channels
   being a multiple of 8: the first of the encoder and the last of the decoder, which have the most pixels and of which no library
   makes use of the narrow shape. Each picture is first copied into a frame of zeros, so that all places are alike. */
#define EIGHT (LANES < 8 ? 8 / LANES : 1) /* parts that 8 numbers are taken in */
typedef float part __attribute__((vector_size(32 / EIGHT)));
typedef float part_unaligned __attribute__((vector_size(32 / EIGHT), aligned(4), may_alias));
#define COLOURS 3
#define PATCH 12 /* numbers of one row of a patch: 4 pixels */
#define FRAMED(side) (((side) + 2) * ((side) + 2) * COLOURS + SPARE)
#define SPARE 16 /* numbers behind it that may be read */

static void frame(const float *picture, float *framed, long side, long channels) {
    const long line = side * channels, wide = line + 2 * channels;
    memset(framed, 0, (wide + channels) * sizeof(float));
    for (long y = 0; y < side; y++) {
        float *to = framed + (y + 1) * wide + channels;
        memcpy(to, picture + y * line, line * sizeof(float));
        memset(to + line, 0, 2 * channels * sizeof(float)); /* the end of this line and the begin of the next */
    }
    memset(framed + (side + 1) * wide + channels, 0, (wide - channels + (channels == COLOURS ? SPARE : 0)) * sizeof(float));
}

/* Picture to map; weight is [4, 12, channels]. Eight places, 4 x 2, at a time. */
void picture_down(const float *picture, const float *weight, float *map, long rows, long half, long channels, long threads) {
    const long side = 2 * half, wide = (side + 2) * COLOURS;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long row = 0; row < rows; row++) {
        float framed[FRAMED(side)];
        frame(picture + row * side * side * COLOURS, framed, side, COLOURS);
        for (long y = 0; y < half; y += 2)
            for (long x = 0; x < half; x += 4)
                for (long c = 0; c < channels; c += 8) {
                    part sum[2][4][EIGHT] = {0};
                    for (long k = 0; k < 4; k++)
                        for (long p = 0; p < PATCH; p++) {
                            const part_unaligned *w = (const part_unaligned *)(weight + (k * PATCH + p) * channels + c);
                            const float *at = framed + (2 * y + k) * wide + 2 * x * COLOURS + p;
                            UNROLL for (int e = 0; e < EIGHT; e++) {
                                const part by = w[e];
                                UNROLL for (int i = 0; i < 4; i++) {
                                    sum[0][i][e] += at[2 * i * COLOURS] * by;
                                    sum[1][i][e] += at[2 * wide + 2 * i * COLOURS] * by;
                                }
                            }
                        }
                    for (int j = 0; j < 2; j++)
                        for (int i = 0; i < 4; i++)
                            for (int e = 0; e < EIGHT; e++)
                                ((part_unaligned *)(map + ((row * half + y + j) * half + x + i) * channels + c))[e] = sum[j][i][e];
                }
    }
}

/* Map to picture; each of half + 1 places a side makes 2 x 2 pixels from 2 x 2 of the map. weight is [2, 2, channels, 16]: 6 numbers of the
   upper row of pixels, 2 zeros, 6 of the lower one, 2 zeros; start is the bias in the same form. */
#define AT_ONCE (LANES > 8 ? 8 : 4) /* places */
void picture_up(const float *map, const float *weight, const float *start, float *picture, long rows, long half, long channels,
                long threads) {
    const long side = 2 * half, wide = (side + 2) * COLOURS, line = (half + 2) * channels;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long row = 0; row < rows; row++) {
        float framed[(half + 2) * line], made[FRAMED(side)];
        frame(map + row * half * half * channels, framed, half, channels);
        for (long y = 0; y <= half; y++)
            for (long begin = 0; begin <= half; begin += AT_ONCE) {
                const long x = smaller(begin, half + 1 - AT_ONCE); /* the last ones may overlap those before */
                vector sum[AT_ONCE][WHOLE(16)];
                UNROLL for (int i = 0; i < AT_ONCE; i++)
                    UNROLL for (int v = 0; v < WHOLE(16); v++) sum[i][v] = load(start + v * LANES);
                for (long k = 0; k < 2; k++)
                    for (long p = 0; p < 2 * channels; p++) {
                        const float *at = framed + (y + k) * line + x * channels + p;
                        UNROLL for (int v = 0; v < WHOLE(16); v++) {
                            const vector w = load(weight + (k * 2 * channels + p) * 16 + v * LANES);
                            UNROLL for (int i = 0; i < AT_ONCE; i++) sum[i][v] += at[i * channels] * w;
                        }
                    }
                for (int i = 0; i < AT_ONCE; i++) {
                    float *to = made + 2 * y * wide + 2 * (x + i) * COLOURS, numbers[16];
                    for (int v = 0; v < WHOLE(16); v++) store(numbers + v * LANES, sum[i][v]);
                    memcpy(to, numbers, 8 * sizeof(float));
                    memcpy(to + wide, numbers + 8, 8 * sizeof(float));
                }
            }
        for (long y = 0; y < side; y++)
            memcpy(picture + (row * side + y) * side * COLOURS, made + (y + 1) * wide + COLOURS, side * COLOURS * sizeof(float));
    }
}

/* Gradient of either's weight: sums [threads, 4, channels, 16], of which 12 numbers are meant. So many rows of the kernel, vectors of a row and
   channels are summed at a time as registers hold. */
#define KERNEL_ROWS (LANES > 8 ? 2 : 1)
#define ROW_VECTORS (LANES > 4 ? WHOLE(16) : WHOLE(PATCH))
#define SOME (LANES == 8 ? 4 : 8)

void picture_weight(const float *picture, const float *map, float *sums, long rows, long half, long channels, long threads) {
    const long side = 2 * half, wide = (side + 2) * COLOURS;
    SHARE(1L, rows, threads) {
        float framed[FRAMED(side)], *mine = sums + thread * 4 * channels * 16;
        for (long row = from; row < to; row++) {
            frame(picture + row * side * side * COLOURS, framed, side, COLOURS);
            for (long k = 0; k < 4; k += KERNEL_ROWS)
                for (long c = 0; c < channels; c += SOME) {
                    vector sum[KERNEL_ROWS][SOME][ROW_VECTORS] = {0};
                    for (long y = 0; y < half; y++)
                        for (long x = 0; x < half; x++) {
                            const float *patch = framed + (2 * y + k) * wide + 2 * x * COLOURS;
                            const float *by = map + ((row * half + y) * half + x) * channels + c;
                            UNROLL for (int j = 0; j < KERNEL_ROWS; j++)
                                UNROLL for (int v = 0; v < ROW_VECTORS; v++) {
                                    const vector numbers = load(patch + j * wide + v * LANES);
                                    UNROLL for (int i = 0; i < SOME; i++) sum[j][i][v] += by[i] * numbers;
                                }
                        }
                    for (int j = 0; j < KERNEL_ROWS; j++)
                        for (int i = 0; i < SOME; i++)
                            for (int v = 0; v < ROW_VECTORS; v++) {
                                float *into = mine + ((k + j) * channels + c + i) * 16 + v * LANES;
                                store(into, load(into) + sum[j][i][v]);
                            }
                }
        }
    }
}

/* c = a b for few rows: a [rows, inner] with a stride, b [inner, columns], columns being a multiple of 16. */
#define BLOCK(R, V)                                                                                                            \
    {                                                                                                                          \
        vector sum[R][V] = {0};                                                                                                \
        for (long k = 0; k < inner; k++)                                                                                       \
            UNROLL for (int v = 0; v < V; v++) {                                                                               \
                const vector w = load(b + k * columns + column + v * LANES);                                                   \
                UNROLL for (int r = 0; r < R; r++) sum[r][v] += a[(row + r) * stride + k] * w;                                 \
            }                                                                                                                  \
        for (int r = 0; r < R; r++)                                                                                            \
            for (int v = 0; v < V; v++) store(c + (row + r) * columns + column + v * LANES, sum[r][v]);                        \
    }
#define BLOCK_ROWS (LANES > 8 ? 8 : 4)
#define BLOCK_VECTORS (LANES > 4 ? 2 : 4)

static void multiply(const float *a, long stride, const float *b, float *c, long rows, long inner, long columns, long threads) {
    const int together = threads > 1 && rows * inner * columns > 1 << 20;
#pragma omp parallel for num_threads(threads) if (together)
    for (long column = 0; column < columns; column += BLOCK_VECTORS * LANES) {
        long row = 0;
        if (column + BLOCK_VECTORS * LANES <= columns) {
            for (; row + BLOCK_ROWS <= rows; row += BLOCK_ROWS) BLOCK(BLOCK_ROWS, BLOCK_VECTORS)
            for (; row < rows; row++) BLOCK(1, BLOCK_VECTORS)
        } else { /* 16 columns are left, and a vector has as many */
            for (; row + BLOCK_ROWS <= rows; row += BLOCK_ROWS) BLOCK(BLOCK_ROWS, 1)
            for (; row < rows; row++) BLOCK(1, 1)
        }
    }
}

INLINE void add(float *to, const float *from, long count) {
    for (long i = 0; i < count; i++) to[i] += from[i];
}

/* The posterior scan of a batch (RSSM.observe) with all that its gradient needs. Everything is [time, batch, ...]. */
typedef struct {
    long time, batch, units, deter, stoch, classes, threads;
    double mix;
    const float *embedded, *acted, *keep, *uniform, *start, *start_projection;
    const float *from_stoch, *input_weight, *input_bias, *gates, *gate_weight, *gate_bias, *from_deter, *hidden_weight, *hidden_bias;
    const float *output, *output_bias;
    float *input, *joint, *opened, *memory, *seen, *hidden, *probabilities, *onehot;
    int64_t *index;
} Scan;

void scan(const Scan *s) {
    const long units = s->units, deter = s->deter, flat = s->stoch * s->classes, batch = s->batch, width = units + deter;
    float logits[batch * flat];
    for (long t = 0; t < s->time; t++) {
        const long first = t * batch;
        float *joint = s->joint + first * width, *memory = s->memory + first * deter, *seen = s->seen + first * units;
        for (long b = 0; b < batch; b++) {
            const long at = first + b, before = at - batch;
            float *input = s->input + at * units;
            const int kept = t > 0 && s->keep[at] > 0;
            memcpy(input, s->acted + at * units, units * sizeof(float));
            if (kept)
                for (long i = 0; i < s->stoch; i++)
                    add(input, s->from_stoch + (i * s->classes + s->index[before * s->stoch + i]) * units, units);
            else
                add(input, s->start_projection, units);
            silu_row(input, s->input_weight, s->input_bias, joint + b * width, units / LANES, 0);
            memcpy(joint + b * width + units, kept ? s->memory + before * deter : s->start, deter * sizeof(float));
        }
        multiply(joint, width, s->gates, s->opened + first * 3 * deter, batch, width, 3 * deter, s->threads);
        for (long b = 0; b < batch; b++)
            recur_row(s->opened + (first + b) * 3 * deter, s->gate_weight, s->gate_bias, joint + b * width + units, memory + b * deter, deter);
        multiply(memory, deter, s->from_deter, seen, batch, deter, units, s->threads);
        for (long b = 0; b < batch; b++) {
            add(seen + b * units, s->embedded + (first + b) * units, units);
            silu_row(seen + b * units, s->hidden_weight, s->hidden_bias, s->hidden + (first + b) * units, units / LANES, 0);
        }
        multiply(s->hidden + first * units, units, s->output, logits, batch, units, flat, s->threads);
        for (long b = 0; b < batch; b++) add(logits + b * flat, s->output_bias, flat);
        draw(logits, s->uniform + first * s->stoch, s->probabilities + first * flat, s->onehot + first * flat, s->index + first * s->stoch,
             batch * s->stoch, s->classes, s->mix, 1);
    }
}

/* The matrices transposed, the gradients that come in, and those that go out (sums zero on entry); of matrices they are made from these. */
typedef struct {
    const float *from_stoch, *gates, *from_deter, *output;
    const float *memory, *onehot, *probabilities;
    float *of_logits, *of_seen, *of_opened, *of_input, *input_sums, *gate_sums, *hidden_sums, *start, *start_projection;
} ScanBack;

/* Gradient of logits from that of mixed probabilities, both of `classes`. */
static void mixed_back(const float *p, const float *gp, float *glogits, long classes, float mix) {
    float mean = 0;
    for (long k = 0; k < classes; k++) mean += (p[k] - mix / classes) / (1 - mix) * gp[k];
    for (long k = 0; k < classes; k++) glogits[k] = (p[k] - mix / classes) * (gp[k] - mean);
}

void scan_back(const Scan *s, const ScanBack *g) {
    const long units = s->units, deter = s->deter, flat = s->stoch * s->classes, batch = s->batch, width = units + deter;
    float later[batch * flat], later_memory[batch * deter], of_hidden[batch * units], of_memory[batch * deter];
    float of_joint[batch * width], passed[batch * units];
    memset(later, 0, sizeof later);
    memset(later_memory, 0, sizeof later_memory);
    for (long t = s->time - 1; t >= 0; t--) {
        const long first = t * batch;
        float *of_logits = g->of_logits + first * flat, *of_seen = g->of_seen + first * units, *of_opened = g->of_opened + first * 3 * deter;
        add(later, g->probabilities + first * flat, batch * flat);
        add(later, g->onehot + first * flat, batch * flat); /* straight through */
        for (long i = 0; i < batch * flat; i += s->classes)
            mixed_back(s->probabilities + first * flat + i, later + i, of_logits + i, s->classes, (float)s->mix);
        multiply(of_logits, flat, g->output, of_hidden, batch, flat, units, s->threads);
        for (long b = 0; b < batch; b++)
            silu_row_back(s->seen + (first + b) * units, s->hidden_weight, s->hidden_bias, of_hidden + b * units, of_seen + b * units,
                          g->hidden_sums, g->hidden_sums + units, units / LANES, 0);
        multiply(of_seen, units, g->from_deter, of_memory, batch, units, deter, s->threads);
        add(of_memory, g->memory + first * deter, batch * deter);
        add(of_memory, later_memory, batch * deter);
        for (long b = 0; b < batch; b++)
            recur_row_back(s->opened + (first + b) * 3 * deter, s->gate_weight, s->gate_bias, s->joint + (first + b) * width + units,
                           of_memory + b * deter, of_opened + b * 3 * deter, later_memory + b * deter, g->gate_sums,
                           g->gate_sums + 3 * deter, deter);
        multiply(of_opened, 3 * deter, g->gates, of_joint, batch, 3 * deter, width, s->threads);
        for (long b = 0; b < batch; b++) {
            const long at = first + b;
            const int kept = t > 0 && s->keep[at] > 0;
            float *of_input = g->of_input + at * units, *before = later_memory + b * deter;
            silu_row_back(s->input + at * units, s->input_weight, s->input_bias, of_joint + b * width, of_input, g->input_sums,
                          g->input_sums + units, units / LANES, 0);
            add(before, of_joint + b * width + units, deter);
            memcpy(passed + b * units, of_input, units * sizeof(float));
            if (!kept) {
                add(g->start, before, deter);
                add(g->start_projection, of_input, units);
                memset(before, 0, deter * sizeof(float));
                memset(passed + b * units, 0, units * sizeof(float));
            }
        }
        if (t > 0) multiply(passed, units, g->from_stoch, later, batch, units, flat, s->threads);
    }
}

/* Two-hot regression over `bins` logits a row (at most BINS): a copy of the row, filled up with -inf, and its largest number. */
INLINE float filled_up(const float *logits, float *row, long bins) {
    vector largest = all(-INFINITY);
    memcpy(row, logits, bins * sizeof(float));
    for (long i = bins; i < BINS; i++) row[i] = -INFINITY;
    for (long i = 0; i < BINS; i += LANES) largest = most(load(row + i), largest);
    float one = largest[0];
    for (int lane = 1; lane < LANES; lane++) one = largest[lane] > one ? largest[lane] : one;
    return one;
}

/* Mean of `values` [BINS] (zeros beyond bins) under each row's softmax. */
void two_hot_mean(const float *logits, const float *values, float *mean, long rows, long bins, long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long r = 0; r < rows; r++) {
        float row[BINS];
        const float largest = filled_up(logits + r * bins, row, bins);
        vector sum = {0}, weighted = {0};
        for (long i = 0; i < BINS; i += LANES) {
            const vector power = exponential(load(row + i) - largest);
            sum += power;
            weighted += power * load(values + i);
        }
        mean[r] = total(weighted, 0)[0] / total(sum, 0)[0];
    }
}

/* Negative log-likelihood of each of `targets` [targets, rows], whose mass is 1 - share on bin `below` and share on the next. */
void two_hot_loss(const float *logits, const int64_t *below, const float *share, float *loss, float *scale, long targets, long rows,
                  long bins, long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long r = 0; r < rows; r++) {
        float row[BINS];
        const float largest = filled_up(logits + r * bins, row, bins);
        vector sum = {0};
        for (long i = 0; i < BINS; i += LANES) sum += exponential(load(row + i) - largest);
        scale[r] = largest + logf(total(sum, 0)[0]);
        for (long t = r; t < targets * rows; t += rows)
            loss[t] = scale[r] - row[below[t]] * (1 - share[t]) - row[below[t] + 1] * share[t];
    }
}

void two_hot_back(const float *logits, const int64_t *below, const float *share, const float *scale, const float *gloss, float *glogits,
                  long targets, long rows, long bins, long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long r = 0; r < rows; r++) {
        float row[BINS], all_of_it = 0;
        for (long t = r; t < targets * rows; t += rows) all_of_it += gloss[t];
        memcpy(row, logits + r * bins, bins * sizeof(float));
        memset(row + bins, 0, (BINS - bins) * sizeof(float));
        for (long i = 0; i < BINS; i += LANES) store(row + i, exponential(load(row + i) - scale[r]) * all_of_it);
        for (long t = r; t < targets * rows; t += rows) {
            row[below[t]] -= gloss[t] * (1 - share[t]);
            row[below[t] + 1] -= gloss[t] * share[t];
        }
        memcpy(glogits + r * bins, row, bins * sizeof(float));
    }
}

/* base + the rows of weight [variables classes, outputs] that index [rows, variables] selects, one of each variable's `classes`; outputs is a
   multiple of 16, base may be null. */
INLINE void gathered(const float *base, const float *weight, const int64_t *index, float *to, long variables, long classes, long outputs,
                     long column, int vectors) {
    vector sum[vectors];
    for (int v = 0; v < vectors; v++) sum[v] = base ? load(base + column + v * LANES) : (vector){0};
    for (long i = 0; i < variables; i++) {
        const float *row = weight + (i * classes + index[i]) * outputs + column;
        UNROLL for (int v = 0; v < vectors; v++) sum[v] += load(row + v * LANES);
    }
    for (int v = 0; v < vectors; v++) store(to + column + v * LANES, sum[v]);
}

void gather(const float *base, const float *weight, const int64_t *index, float *to, long rows, long variables, long classes, long outputs,
            long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long r = 0; r < rows; r++) {
        const float *from = base ? base + r * outputs : 0;
        long column = 0;
        for (; column + 8 * LANES <= outputs; column += 8 * LANES)
            gathered(from, weight, index + r * variables, to + r * outputs, variables, classes, outputs, column, 8);
        for (; column < outputs; column += LANES)
            gathered(from, weight, index + r * variables, to + r * outputs, variables, classes, outputs, column, 1);
    }
}

/* Squared error of each predicted picture against bytes, which stand for b / 255 - 0.5; `size` numbers each, a multiple of 16. */
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

INLINE vector missed(const float *predicted, const uint8_t *image) {
    const integers numbers = __builtin_convertvector(*(const bytes *)image, integers);
    return load(predicted) - (__builtin_convertvector(numbers, vector) * (1.0f / 255) - 0.5f);
}

void picture_error(const float *predicted, const uint8_t *image, float *error, long rows, long size, long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long row = 0; row < rows; row++) {
        vector sum = {0};
        for (long i = row * size; i < (row + 1) * size; i += LANES) {
            vector d = missed(predicted + i, image + i);
            sum += d * d;
        }
        error[row] = total(sum, 0)[0];
    }
}

void picture_error_back(const float *predicted, const uint8_t *image, const float *gerror, float *gpredicted, long rows, long size,
                        long threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long row = 0; row < rows; row++)
        for (long i = row * size; i < (row + 1) * size; i += LANES)
            store(gpredicted + i, missed(predicted + i, image + i) * (2.0f * gerror[row]));
}
