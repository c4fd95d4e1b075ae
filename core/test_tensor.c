#include "core/tensor.h"
#include "tests/harness.h"

static float storage[4096];

static lt_device *open_device(const char *spec) {
    lt_device *device = NULL;
    CHECK_OK(lt_device_open(spec, &device));
    return device;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void dtypes_have_sizes_and_names(void) {
    static const size_t sizes[] = {4, 8, 2, 2, 8, 4, 1, 1};
    for (int i = 0; i < LT_DTYPE_COUNT; i++) {
        lt_dtype back;
        CHECK(lt_dtype_size((lt_dtype)i) == sizes[i]);
        CHECK(lt_dtype_parse(lt_dtype_name((lt_dtype)i), &back) && back == (lt_dtype)i);
    }
    lt_dtype dtype = LT_U8;
    CHECK(!lt_dtype_parse("f8", &dtype) && !lt_dtype_parse("", &dtype) && dtype == LT_U8);
}

static void new_tensors_are_contiguous_and_aligned(void) {
    lt_device *device = open_device("cpu");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 1 << 16, "test"));
    lt_tensor t;
    CHECK_OK(LT_NEW(&arena, LT_BF16, &t, 3, 5, 7));
    CHECK(t.ndim == 3 && t.stride[0] == 35 && t.stride[1] == 7 && t.stride[2] == 1);
    CHECK(lt_is_contiguous(&t) && lt_numel(&t) == 105 && lt_nbytes(&t) == 210 &&
          (uintptr_t)t.data % 256 == 0);
    CHECK_OK(LT_NEW(&arena, LT_F32, &t, 4, 0, 2));
    CHECK(!lt_is_empty(&t) && lt_numel(&t) == 0 && lt_nbytes(&t) == 0 && lt_is_contiguous(&t));
    CHECK_OK(lt_tensor_new(&arena, LT_F64, &t, 0, NULL));
    CHECK(lt_numel(&t) == 1 && lt_nbytes(&t) == 8);
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void shapes_that_are_none_are_refused(void) {
    lt_device *device = open_device("null");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 0, "step"));
    lt_tensor t;
    const int64_t huge = (int64_t)1 << 40;
    CHECK_FAILS(LT_NEW(&arena, LT_F32, &t, 2, -1), LT_FAILED, "f32[2,-1]");
    CHECK(lt_is_empty(&t));
    CHECK_FAILS(LT_NEW(&arena, LT_F32, &t, huge, huge), LT_FAILED, "2^63");
    CHECK_FAILS(LT_NEW(&arena, LT_F64, &t, (int64_t)1 << 60), LT_FAILED, "step");
    CHECK_FAILS(LT_NEW(&arena, LT_F32, &t, 1, 1, 1, 1, 1, 1, 1), LT_FAILED, "7 dimensions");
    CHECK_FAILS(LT_NEW(&arena, LT_F32, &t, 0, huge, huge), LT_FAILED, "2^63");
    CHECK(arena.used == 0);
    lt_tensor none = LT_VIEW(storage, LT_F32, 2, -1);
    CHECK(lt_is_empty(&none) && none.ndim == 0);
    none = LT_VIEW(NULL, LT_F32, 2);
    CHECK(lt_is_empty(&none));
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void reshape_keeps_elements_or_returns_nothing(void) {
    lt_tensor t = LT_VIEW(storage, LT_F32, 6, 20);
    lt_tensor r = LT_RESHAPE(t, 2, 3, 4, 5);
    CHECK(r.data == storage && r.ndim == 4 && r.stride[0] == 60 && r.stride[2] == 5 && lt_numel(&r) == 120);
    r = LT_RESHAPE(t, 7, 17);
    CHECK(lt_is_empty(&r) && r.ndim == 0);
    lt_tensor columns = lt_slice(t, 1, 0, 10);
    r = LT_RESHAPE(columns, 60);
    CHECK(lt_is_empty(&r));
    lt_tensor rows = lt_slice(t, 0, 2, 3); /* whole rows stay contiguous */
    r = LT_RESHAPE(rows, 60);
    CHECK(r.data == storage + 40);
    r = LT_RESHAPE(lt_slice(columns, 0, 4, 1), 10);
    CHECK(r.data == storage + 80);
    r = LT_RESHAPE(lt_slice(t, 0, 6, 0), 0, 5);
    CHECK(r.ndim == 2 && lt_numel(&r) == 0 && !lt_is_empty(&r));
    lt_tensor nothing = {0};
    r = LT_RESHAPE(nothing, 1);
    CHECK(lt_is_empty(&r));
}

static void slices_and_selections_address_the_same_elements(void) {
    for (int i = 0; i < 2 * 3 * 4; i++) storage[i] = (float)i;
    lt_tensor t = LT_VIEW(storage, LT_F32, 2, 3, 4);
    lt_tensor s = lt_slice(t, 1, 1, 2);
    CHECK(s.shape[1] == 2 && s.stride[0] == 12 && *(float *)s.data == 4 && !lt_is_contiguous(&s));
    lt_tensor c = lt_select(t, 2, 3);
    CHECK(c.ndim == 2 && c.shape[0] == 2 && c.shape[1] == 3 && c.stride[1] == 4 && *(float *)c.data == 3);
    lt_tensor e = lt_select(lt_select(lt_select(t, 0, 1), 0, 2), 0, 1);
    CHECK(e.ndim == 0 && lt_numel(&e) == 1 && *(float *)e.data == 21);
    lt_tensor p = lt_split(c, 1, 3, 1);
    CHECK(p.ndim == 3 && p.shape[1] == 3 && p.stride[1] == 4 && p.stride[2] == 4);
    lt_tensor q = lt_split(t, 2, 2, 2);
    CHECK(q.ndim == 4 && lt_is_contiguous(&q) && q.stride[2] == 2);
}

static void views_outside_their_tensor_are_empty(void) {
    lt_tensor t = LT_VIEW(storage, LT_F32, 2, 6);
    lt_tensor all[] = {lt_slice(t, 1, 5, 2),
                       lt_slice(t, 1, -1, 2),
                       lt_slice(t, 1, 7, 0),
                       lt_slice(t, 1, 0, -1),
                       lt_slice(t, 2, 0, 1),
                       lt_slice(t, -1, 0, 1),
                       lt_slice(t, 1, 1, INT64_MAX),
                       lt_select(t, 0, 2),
                       lt_select(t, 0, -1),
                       lt_split(t, 1, 4, 2),
                       lt_split(t, 1, -2, -3),
                       lt_split(t, 2, 1, 1),
                       lt_select((lt_tensor){0}, 0, 0),
                       lt_split((lt_tensor){0}, 0, 1, 1)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK(lt_is_empty(&all[i]) && all[i].ndim == 0);
    lt_tensor full = LT_VIEW(storage, LT_F32, 1, 1, 1, 1, 1, 4);
    full = lt_split(full, 5, 2, 2); /* a seventh dimension */
    CHECK(lt_is_empty(&full));
    lt_tensor end = lt_slice(t, 1, 6, 0);
    CHECK(!lt_is_empty(&end) && lt_numel(&end) == 0);
}

/* Compares lt_as_rows with the addresses of all elements, counted one by one. */
static void check_rows_address_elements(const lt_tensor *t, int64_t rows, int64_t columns, int64_t ld) {
    CHECK(rows * columns == lt_numel(t) && ld >= columns && ld >= 1);
    int64_t index[LT_MAX_DIMS] = {0};
    for (int64_t n = 0; n < rows * columns; n++) {
        int64_t offset = 0;
        for (int d = 0; d < t->ndim; d++) offset += index[d] * t->stride[d];
        CHECK(offset == n / columns * ld + n % columns);
        for (int d = t->ndim - 1; d >= 0 && ++index[d] == t->shape[d]; d--) index[d] = 0;
    }
}

static void expect_rows(lt_tensor t, int inner, int64_t rows, int64_t columns, int64_t ld) {
    int64_t r = -1, c = -1, l = -1;
    CHECK(lt_as_rows(&t, inner, &r, &c, &l));
    CHECK(r == rows && c == columns && l == ld);
    check_rows_address_elements(&t, r, c, l);
}

static void expect_no_rows(lt_tensor t, int inner) {
    int64_t r, c, l;
    CHECK(!lt_as_rows(&t, inner, &r, &c, &l));
}

static void contiguous_tensors_are_rows_at_every_inner(void) {
    lt_tensor t = LT_VIEW(storage, LT_F32, 2, 3, 5, 7);
    expect_rows(t, 0, 210, 1, 1);
    expect_rows(t, 1, 30, 7, 7);
    expect_rows(t, 2, 6, 35, 35);
    expect_rows(t, 3, 2, 105, 105);
    expect_rows(t, 4, 1, 210, 210);
    expect_no_rows(t, 5);
    expect_no_rows(t, -1);
    expect_no_rows((lt_tensor){0}, 0);
}

static void packed_qkv_slices_are_rows(void) {
    enum { B = 2, T = 5, H = 3, D = 4 };
    lt_tensor qkv = LT_VIEW(storage, LT_F32, B, T, 3, H, D);
    for (int part = 0; part < 3; part++) {
        lt_tensor x = lt_select(qkv, 2, part); /* [B,T,H,D] */
        CHECK(x.data == storage + part * H * D);
        expect_rows(x, 2, B * T, H * D, 3 * H * D);
        expect_no_rows(x, 1); /* heads lie D apart, tokens do not continue them */
        expect_no_rows(x, 3);
        expect_rows(lt_select(x, 0, 1), 2, T, H * D, 3 * H * D);
        expect_rows(lt_select(x, 2, 1), 1, B * T, D, 3 * H * D);
        expect_rows(lt_slice(x, 2, 1, 1), 1, B * T, D, 3 * H * D);
        expect_rows(lt_slice(x, 2, 1, 2), 2, B * T, 2 * D, 3 * H * D);
        expect_no_rows(lt_slice(x, 1, 1, T - 1), 2); /* the batches are no longer T rows apart */
        expect_rows(lt_slice(lt_slice(x, 0, 1, 1), 1, 1, T - 1), 2, T - 1, H * D, 3 * H * D);
    }
    expect_rows(lt_slice(qkv, 2, 0, 2), 3, B * T, 2 * H * D, 3 * H * D); /* q and k at once */
}

static void dimensions_of_size_one_never_stand_in_the_way(void) {
    lt_tensor t = LT_VIEW(storage, LT_F32, 4, 6, 10);
    expect_rows(lt_slice(t, 0, 2, 1), 1, 6, 10, 10);
    expect_rows(lt_slice(t, 1, 2, 1), 1, 4, 10, 60);
    expect_rows(lt_slice(t, 1, 2, 1), 2, 4, 10, 60);
    expect_rows(lt_slice(lt_slice(t, 1, 2, 1), 0, 3, 1), 1, 1, 10, 10);
    expect_rows(lt_slice(t, 2, 4, 1), 1, 24, 1, 10); /* one column of a matrix */
    expect_rows(lt_slice(lt_slice(t, 2, 4, 1), 1, 0, 1), 2, 4, 1, 60);
    lt_tensor odd = t; /* strides of size-1 dimensions mean nothing */
    odd.shape[0] = odd.shape[2] = 1;
    odd.stride[0] = -7, odd.stride[2] = 99;
    expect_rows(odd, 1, 6, 1, 10);
    lt_tensor one = LT_VIEW(storage, LT_F32, 1, 1, 1);
    expect_rows(one, 1, 1, 1, 1);
    expect_rows(one, 0, 1, 1, 1);
}

static void strided_columns_and_overlaps_are_no_rows(void) {
    lt_tensor t = LT_VIEW(storage, LT_F32, 4, 6, 10);
    expect_no_rows(lt_select(t, 2, 0), 1);   /* columns 10 apart */
    expect_no_rows(lt_slice(t, 2, 0, 5), 2); /* half rows do not join */
    expect_rows(lt_slice(t, 2, 0, 5), 1, 24, 5, 10);
    expect_rows(lt_slice(t, 2, 3, 5), 1, 24, 5, 10);
    expect_no_rows(lt_slice(t, 1, 0, 5), 1);
    lt_tensor broadcast = LT_VIEW(storage, LT_F32, 4, 10);
    broadcast.stride[0] = 0;
    expect_no_rows(broadcast, 1);
    broadcast.stride[0] = 9;
    expect_no_rows(broadcast, 1);
    broadcast.stride[0] = -10;
    expect_no_rows(broadcast, 1);
}

static void tensors_without_elements_are_rows(void) {
    lt_tensor t = LT_VIEW(storage, LT_F32, 4, 6, 10);
    expect_rows(lt_slice(t, 1, 3, 0), 1, 0, 10, 10);
    expect_rows(lt_slice(t, 2, 3, 0), 1, 24, 0, 1);
    expect_rows(lt_slice(lt_slice(t, 1, 0, 5), 2, 0, 0), 2, 4, 0, 1);
}

static void text_names_dtype_and_shape(void) {
    char text[64], small[8];
    lt_tensor t = LT_VIEW(storage, LT_F32, 2, 256, 128);
    CHECK(strcmp(lt_tensor_text(&t, text, sizeof text), "f32[2,256,128]") == 0);
    CHECK(strcmp(lt_tensor_text(&t, small, sizeof small), "f32[2,2") == 0);
    lt_tensor scalar = lt_tensor_of(storage, LT_BF16, 0, NULL);
    CHECK(strcmp(lt_tensor_text(&scalar, text, sizeof text), "bf16[]") == 0);
}

static void same_shape_ignores_type_and_strides(void) {
    lt_tensor a = LT_VIEW(storage, LT_F32, 2, 3), b = LT_VIEW(storage, LT_U8, 2, 3),
              c = LT_VIEW(storage, LT_F32, 3, 2);
    lt_tensor d = LT_VIEW(storage, LT_F32, 2, 3, 1), e = lt_slice(LT_VIEW(storage, LT_F32, 2, 9), 1, 0, 3);
    CHECK(lt_same_shape(&a, &b) && lt_same_shape(&a, &e));
    CHECK(!lt_same_shape(&a, &c) && !lt_same_shape(&a, &d));
}

static void host_copies_round_trip(void) {
    lt_device *device = open_device("cpu");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 4096, "test"));
    lt_tensor t;
    CHECK_OK(LT_NEW(&arena, LT_I32, &t, 2, 3));
    int32_t in[6] = {1, -2, 3, -4, 5, -6}, back[6] = {0};
    CHECK_OK(lt_tensor_from_host(device, NULL, &t, in));
    CHECK_OK(lt_tensor_to_host(device, NULL, &t, back));
    CHECK(memcmp(in, back, sizeof in) == 0);
    CHECK_OK(lt_tensor_zero(device, NULL, &t));
    CHECK_OK(lt_tensor_to_host(device, NULL, &t, back));
    for (int i = 0; i < 6; i++) CHECK(back[i] == 0);
    lt_tensor part = lt_slice(t, 1, 0, 2), none = {0};
    CHECK_FAILS(lt_tensor_to_host(device, NULL, &part, back), LT_FAILED, "i32[2,2] is not contiguous");
    CHECK_FAILS(lt_tensor_from_host(device, NULL, &part, back), LT_FAILED, "not contiguous");
    CHECK_FAILS(lt_tensor_zero(device, NULL, &none), LT_FAILED, "no memory");
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void null_tensors_read_as_zeros(void) {
    lt_device *device = open_device("null");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 0, "test"));
    lt_tensor t;
    CHECK_OK(LT_NEW(&arena, LT_F32, &t, 4));
    float back[5] = {1, 2, 3, 4, 5};
    CHECK_OK(lt_tensor_from_host(device, NULL, &t, back));
    CHECK(back[3] == 4);
    CHECK_OK(lt_tensor_to_host(device, NULL, &t, back));
    CHECK(back[0] == 0 && back[3] == 0 && back[4] == 5);
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void every_bf16_pattern_round_trips(void) {
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float value = lt_bf16_to_f32((uint16_t)bits);
        CHECK(bits_of(value) == bits << 16);
        uint16_t back = lt_f32_to_bf16(value);
        if (isnan(value))
            CHECK((back & 0x7F80) == 0x7F80 && (back & 0x7F) && (back & 0x8000) == (bits & 0x8000));
        else CHECK(back == bits);
    }
}

static void every_f16_pattern_round_trips(void) {
    for (uint32_t bits = 0; bits < 65536; bits++) {
        int exponent = bits >> 10 & 31, fraction = bits & 1023;
        float value = lt_f16_to_f32((uint16_t)bits);
        uint16_t back = lt_f32_to_f16(value);
        CHECK(!!signbit(value) == bits >> 15);
        if (exponent == 31 && fraction) {
            CHECK(isnan(value) && (back & 0x7C00) == 0x7C00 && (back & 0x3FF) &&
                  (back & 0x8000) == (bits & 0x8000));
            continue;
        }
        double magnitude = exponent == 31 ? INFINITY
                           : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                          : ldexp(fraction, -24);
        CHECK(fabs((double)value) == magnitude);
        CHECK(back == bits);
    }
}

static void every_e4m3_pattern_round_trips(void) {
    for (uint32_t bits = 0; bits < 256; bits++) {
        int exponent = bits >> 3 & 15, fraction = bits & 7;
        float value = lt_e4m3_to_f32((uint8_t)bits);
        uint8_t back = lt_f32_to_e4m3(value);
        CHECK(!!signbit(value) == bits >> 7 && back == (bits == 0xFF ? 0x7F : bits));
        if (exponent == 15 && fraction == 7) CHECK(isnan(value));
        else
            CHECK(fabs((double)value) ==
                  (exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9)));
    }
}

/* Between neighbours a < b of a 16-bit format, with `middle` exactly between them as float32. */
static void check_rounding(uint16_t (*convert)(float), uint16_t a, uint16_t b, float middle) {
    for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
        float m = sign ? -middle : middle;
        CHECK(convert(m) == (sign | (a & 1 ? b : a))); /* ties to even */
        CHECK(convert(nextafterf(m, 0)) == (sign | a));
        CHECK(convert(nextafterf(m, 2 * m)) == (sign | b));
    }
}

static void bf16_rounds_to_nearest_ties_to_even(void) {
    for (uint32_t a = 0; a < 0x7F80; a++) /* the last neighbour is infinity */
        check_rounding(lt_f32_to_bf16, (uint16_t)a, (uint16_t)(a + 1), float_of(a << 16 | 0x8000));
}

static void f16_rounds_to_nearest_ties_to_even(void) {
    for (uint32_t a = 0; a < 0x7BFF; a++) {
        float low = lt_f16_to_f32((uint16_t)a), high = lt_f16_to_f32((uint16_t)(a + 1));
        check_rounding(lt_f32_to_f16, (uint16_t)a, (uint16_t)(a + 1), (low + high) / 2);
    }
    check_rounding(lt_f32_to_f16, 0x7BFF, 0x7C00, 65520);
    CHECK(lt_f32_to_f16(1e30f) == 0x7C00 && lt_f32_to_f16(-INFINITY) == 0xFC00);
    CHECK(lt_f32_to_f16(1e-30f) == 0 && lt_f32_to_f16(-1e-45f) == 0x8000);
}

static void e4m3_rounds_to_nearest_ties_to_even_and_saturates(void) {
    for (uint8_t a = 0; a < 0x7E; a++)
        for (int sign = 1; sign >= -1; sign -= 2) {
            float middle = (float)sign * (lt_e4m3_to_f32(a) + lt_e4m3_to_f32((uint8_t)(a + 1))) / 2;
            uint8_t low = (uint8_t)(a | (sign < 0) << 7), high = (uint8_t)(low + 1);
            CHECK(lt_f32_to_e4m3(middle) == (a & 1 ? high : low));
            CHECK(lt_f32_to_e4m3(nextafterf(middle, 0)) == low);
            CHECK(lt_f32_to_e4m3(nextafterf(middle, 2 * middle)) == high);
        }
    static const float large[] = {448, 463.9f, 464, 480, 1e30f, INFINITY};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        CHECK(lt_f32_to_e4m3(large[i]) == 0x7E && lt_f32_to_e4m3(-large[i]) == 0xFE);
    CHECK(lt_f32_to_e4m3(1e-30f) == 0 && lt_f32_to_e4m3(-1e-45f) == 0x80);
}

static void nan_stays_nan_whatever_its_payload(void) {
    static const uint32_t payloads[] = {1, 0x1FFF, 0x8000, 0xFFFF, 0x400000, 0x7FFFFF};
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
        for (uint32_t sign = 0; sign <= 1; sign++) {
            float nan_value = float_of(sign << 31 | 0x7F800000 | payloads[i]);
            CHECK(isnan(lt_bf16_to_f32(lt_f32_to_bf16(nan_value))));
            CHECK(isnan(lt_f16_to_f32(lt_f32_to_f16(nan_value))));
            CHECK(lt_f32_to_e4m3(nan_value) == 0x7F);
        }
    CHECK(lt_f32_to_bf16(INFINITY) == 0x7F80 && lt_f32_to_bf16(-INFINITY) == 0xFF80);
}

int main(int argc, char **argv) {
    RUN(dtypes_have_sizes_and_names);
    RUN(new_tensors_are_contiguous_and_aligned);
    RUN(shapes_that_are_none_are_refused);
    RUN(reshape_keeps_elements_or_returns_nothing);
    RUN(slices_and_selections_address_the_same_elements);
    RUN(views_outside_their_tensor_are_empty);
    RUN(contiguous_tensors_are_rows_at_every_inner);
    RUN(packed_qkv_slices_are_rows);
    RUN(dimensions_of_size_one_never_stand_in_the_way);
    RUN(strided_columns_and_overlaps_are_no_rows);
    RUN(tensors_without_elements_are_rows);
    RUN(text_names_dtype_and_shape);
    RUN(same_shape_ignores_type_and_strides);
    RUN(host_copies_round_trip);
    RUN(null_tensors_read_as_zeros);
    RUN(every_bf16_pattern_round_trips);
    RUN(every_f16_pattern_round_trips);
    RUN(every_e4m3_pattern_round_trips);
    RUN(bf16_rounds_to_nearest_ties_to_even);
    RUN(f16_rounds_to_nearest_ties_to_even);
    RUN(e4m3_rounds_to_nearest_ties_to_even_and_saturates);
    RUN(nan_stays_nan_whatever_its_payload);
    return test_end();
}
