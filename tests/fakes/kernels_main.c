/* Every kernel once on noise, results to the standard output; compiled for one instruction set or another. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include KERNELS

static uint32_t state = 1;
static float uniform(void) { return (float)((state = state * 1664525u + 1013904223u) >> 8) / (1 << 24); }

/* The same for the same count, because the order in which arguments are evaluated is the compiler's. */
static float *noise(long count) {
    state = (uint32_t)count;
    float *made = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    for (long i = 0; i < count; i++) made[i] = 2 * uniform() - 1;
    return made;
}

static float *uniforms(long count) {
    float *made = noise(count);
    for (long i = 0; i < count; i++) made[i] = (made[i] + 1) / 2;
    return made;
}

static float *zeros(long count) {
    float *made = noise(count);
    for (long i = 0; i < count; i++) made[i] = 0;
    return made;
}

static void show(const char *name, const float *values, long count) {
    printf("%s", name);
    for (long i = 0; i < count; i++) printf(" %.9g", values[i]);
    printf("\n");
}

static void norms(void) {
    const long widths[] = {8, 16, 48, 128};
    for (int i = 0; i < 4; i++) {
        const long rows = 5, width = widths[i], all = rows * width;
        float *x = noise(all), *w = noise(width), *b = noise(width), *g = noise(all), *y = zeros(all), *gx = zeros(all), *sums = zeros(4 * width);
        norm_silu(x, w, b, y, 1, rows, width, all, width, 2);
        norm_silu_back(x, w, b, g, gx, sums, 1, rows, width, all, width, 2);
        show("norm_silu", y, all), show("norm_silu_back", gx, all), show("norm_silu_sums", sums, 4 * width);
    }
}

static void gates_and_draws(void) {
    const long rows = 3, units = 48;
    float *x = noise(rows * 3 * units), *w = noise(3 * units), *b = noise(3 * units), *h = noise(rows * units), *g = noise(rows * units);
    float *next = zeros(rows * units), *gx = zeros(rows * 3 * units), *gh = zeros(rows * units), *sums = zeros(6 * units);
    recur(x, w, b, h, next, rows, units, 1);
    recur_back(x, w, b, h, g, gx, gh, sums, rows, units, 1);
    show("recur", next, rows * units), show("recur_x", gx, rows * 3 * units), show("recur_h", gh, rows * units), show("recur_sums", sums, 6 * units);
    const long draws = 21, classes = 7;
    float *p = zeros(draws * classes);
    int64_t index[21];
    draw(noise(draws * classes), uniforms(draws), p, 0, index, draws, classes, 0.01, 1);
    show("draw", p, draws * classes);
    for (int i = 0; i < draws; i++) printf("index %d\n", (int)index[i]);
}

static void pictures(void) {
    const long rows = 2, half = 8;
    for (long channels = 8; channels <= 16; channels += 8) {
        float *picture = noise(rows * 4 * half * half * 3), *map = noise(rows * half * half * channels), *w = noise(4 * 12 * channels);
        float *up = noise(4 * channels * 16), *start = noise(16), *sums = zeros(4 * channels * 16);
        for (long i = 0; i < 4 * channels * 16; i++) up[i] *= i % 8 < 6;
        picture_down(picture, w, map, rows, half, channels, 1);
        show("down", map, rows * half * half * channels);
        picture_weight(picture, map, sums, rows, half, channels, 1);
        for (long i = 0; i < 4 * channels; i++) show("weight", sums + 16 * i, 12);
        picture_up(map, up, start, picture, rows, half, channels, 1);
        show("up", picture, rows * 4 * half * half * 3);
    }
    const long size = 48;
    float *predicted = noise(3 * size), *error = zeros(3), *g = noise(3), *given = zeros(3 * size);
    uint8_t image[3 * 48];
    for (int i = 0; i < 3 * size; i++) image[i] = (uint8_t)(255 * uniform());
    picture_error(predicted, image, error, 3, size, 1);
    picture_error_back(predicted, image, g, given, 3, size, 1);
    show("error", error, 3), show("error_back", given, 3 * size);
}

static void regression(void) {
    const long rows = 4, bins = 255;
    float *logits = noise(rows * bins), *values = noise(BINS), *share = uniforms(rows), *mean = zeros(rows), *loss = zeros(rows);
    float *scale = zeros(rows), *g = noise(rows), *given = zeros(rows * bins);
    int64_t below[] = {0, 100, 200, 253};
    values[255] = 0;
    two_hot_mean(logits, values, mean, rows, bins, 1);
    two_hot_loss(logits, below, share, loss, scale, 1, rows, bins, 1);
    two_hot_back(logits, below, share, scale, g, given, 1, rows, bins, 1);
    int64_t classes[] = {0, 1, 2, 3, 3, 2, 1, 0, 1, 1, 1, 1};
    float *gathered_rows = zeros(4 * 144);
    gather(noise(4 * 144), noise(12 * 144), classes, gathered_rows, 4, 3, 4, 144, 1);
    show("gather", gathered_rows, 4 * 144);
    show("mean", mean, rows), show("loss", loss, rows), show("loss_back", given, rows * bins);
}

static void scans(void) {
    const long t = 3, b = 5, u = 32, d = 48, stoch = 4, classes = 8, f = stoch * classes, n = t * b;
    Scan s = {t, b, u, d, stoch, classes, 1, 0.01, noise(n * u), noise(n * u), uniforms(n), uniforms(n * stoch), noise(d), noise(u), noise(f * u),
              noise(u), noise(u), noise((u + d) * 3 * d), noise(3 * d), noise(3 * d), noise(d * u), noise(u), noise(u), noise(u * f), noise(f),
              zeros(n * u), zeros(n * (u + d)), zeros(n * 3 * d), zeros(n * d), zeros(n * u), zeros(n * u), zeros(n * f), zeros(n * f),
              malloc(n * stoch * sizeof(int64_t))};
    scan(&s);
    show("memory", s.memory, n * d), show("probabilities", s.probabilities, n * f), show("onehot", s.onehot, n * f);
    ScanBack back = {noise(u * f), noise(3 * d * (u + d)), noise(u * d), noise(f * u), noise(n * d), noise(n * f), noise(n * f), zeros(n * f),
                     zeros(n * u), zeros(n * 3 * d), zeros(n * u), zeros(2 * u), zeros(6 * d), zeros(2 * u), zeros(d), zeros(u)};
    scan_back(&s, &back);
    show("of_logits", back.of_logits, n * f), show("of_seen", back.of_seen, n * u), show("of_opened", back.of_opened, n * 3 * d);
    show("of_input", back.of_input, n * u), show("sums", back.gate_sums, 6 * d), show("start", back.start, d);
}

int main(void) {
    norms(), gates_and_draws(), pictures(), regression(), scans();
    return 0;
}
