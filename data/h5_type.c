#include "data/h5_type.h"

#include <stdio.h>

hid_t lt_h5_text_type(size_t bytes) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, bytes);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

/* IEEE half: HDF5 has no name for it, but every reader takes it by its fields. */
static hid_t half_type(void) {
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

static hid_t number_type(lt_h5_type type) {
    switch (type) {
    case LT_H5_U8: return H5Tcopy(H5T_NATIVE_UINT8);
    case LT_H5_I32: return H5Tcopy(H5T_NATIVE_INT32);
    case LT_H5_U32: return H5Tcopy(H5T_NATIVE_UINT32);
    case LT_H5_I64: return H5Tcopy(H5T_NATIVE_INT64);
    case LT_H5_U64: return H5Tcopy(H5T_NATIVE_UINT64);
    case LT_H5_F16: return half_type();
    case LT_H5_F32: return H5Tcopy(H5T_NATIVE_FLOAT);
    default: return H5Tcopy(H5T_NATIVE_DOUBLE);
    }
}

static hid_t field_type(const lt_h5_field *field) {
    if (field->type == LT_H5_TEXT) return lt_h5_text_type((size_t)field->count);
    hid_t one = number_type(field->type);
    if (field->count == 1) return one;
    hsize_t count = (hsize_t)field->count;
    hid_t array = H5Tarray_create2(one, 1, &count);
    H5Tclose(one);
    return array;
}

static int member_of(hid_t stored, const char *name) {
    return stored >= 0 && H5Tget_class(stored) == H5T_COMPOUND ? H5Tget_member_index(stored, name) : -1;
}

/* Texts are taken as they are stored, if they have the size: HDF5 does not convert between character sets. */
static hid_t member_type(hid_t stored, const lt_h5_field *field) {
    int at = field->type == LT_H5_TEXT ? member_of(stored, field->name) : -1;
    if (at < 0) return field_type(field);
    hid_t type = H5Tget_member_type(stored, (unsigned)at);
    bool same = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                H5Tget_size(type) == (size_t)field->count;
    if (same) return type;
    H5Tclose(type);
    return field_type(field);
}

hid_t lt_h5_element_type(const lt_h5_layout *layout, hid_t stored) {
    if (layout->type != LT_H5_RECORD) return number_type(layout->type);
    hid_t record = H5Tcreate(H5T_COMPOUND, layout->record_bytes);
    for (const lt_h5_field *field = layout->fields; field->name; field++) {
        if (field->optional && stored >= 0 && member_of(stored, field->name) < 0) continue;
        hid_t type = member_type(stored, field);
        H5Tinsert(record, field->name, field->offset, type);
        H5Tclose(type);
    }
    return record;
}

/* HDF5 is not left to convert anything: what 1.10 makes of fp16 is wrong. */
static bool same_type(hid_t stored, hid_t wanted) {
    if (H5Tget_class(wanted) != H5T_STRING) return H5Tequal(stored, wanted) > 0;
    return H5Tget_class(stored) == H5T_STRING && H5Tis_variable_str(stored) == 0 &&
           H5Tget_size(stored) == H5Tget_size(wanted);
}

static bool field_serves(hid_t stored, hid_t wanted, const char *name, int index, char *why, size_t size) {
    int at = member_of(stored, name);
    if (at < 0) {
        snprintf(why, size, "the field \"%s\" is missing", name);
        return false;
    }
    hid_t a = H5Tget_member_type(stored, (unsigned)at), b = H5Tget_member_type(wanted, (unsigned)index);
    bool same = same_type(a, b);
    H5Tclose(a);
    H5Tclose(b);
    if (!same) snprintf(why, size, "the field \"%s\" has another type", name);
    return same;
}

bool lt_h5_type_serves(hid_t stored, hid_t wanted, char *why, size_t size) {
    if (H5Tget_class(stored) != H5Tget_class(wanted)) {
        snprintf(why, size, "elements are of another class");
        return false;
    }
    if (H5Tget_class(wanted) != H5T_COMPOUND) {
        if (same_type(stored, wanted)) return true;
        snprintf(why, size,
                 "elements have another size, sign, byte order or layout of bits (%zu bytes; %zu expected)",
                 H5Tget_size(stored), H5Tget_size(wanted));
        return false;
    }
    for (int i = 0; i < H5Tget_nmembers(wanted); i++) {
        char *name = H5Tget_member_name(wanted, (unsigned)i);
        bool serves = field_serves(stored, wanted, name, i, why, size);
        H5free_memory(name);
        if (!serves) return false;
    }
    return true;
}
