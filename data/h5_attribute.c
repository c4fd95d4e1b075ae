/* Attributes, and the descriptions that other programs show. */
#include "data/h5_impl.h"

#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 65536 }; /* of a stored text */

/* Takes over `space`. */
static lt_status set_attribute(lt_h5 *h5, const char *object, const char *name, hid_t type, hid_t space,
                               const void *value) {
    lt_status status = lt_h5_writable(h5);
    if (status != LT_OK) return H5Sclose(space), status;
    H5Adelete_by_name(h5->file, object, name, H5P_DEFAULT);
    H5Eclear2(H5E_DEFAULT);
    hid_t attribute =
        H5Acreate_by_name(h5->file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    status = lt_h5_written(h5, ok, "write the attribute", name);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    return status;
}

lt_status lt_h5_set_int(lt_h5 *h5, const char *object, const char *name, int64_t value) {
    lt_h5_enter();
    return lt_h5_leave(set_attribute(h5, object, name, H5T_NATIVE_INT64, H5Screate(H5S_SCALAR), &value));
}

lt_status lt_h5_set_float(lt_h5 *h5, const char *object, const char *name, double value) {
    lt_h5_enter();
    return lt_h5_leave(set_attribute(h5, object, name, H5T_NATIVE_DOUBLE, H5Screate(H5S_SCALAR), &value));
}

static lt_status set_text(lt_h5 *h5, const char *object, const char *name, const char *value) {
    hid_t type = lt_h5_text_type(strlen(value) + 1);
    lt_status status = set_attribute(h5, object, name, type, H5Screate(H5S_SCALAR), value);
    H5Tclose(type);
    return status;
}

lt_status lt_h5_set_text(lt_h5 *h5, const char *object, const char *name, const char *value) {
    lt_h5_enter();
    return lt_h5_leave(set_text(h5, object, name, value));
}

/* As H5DSset_label of HDF5's high-level library writes them, which is where h5py and others look. */
static lt_status set_labels(lt_h5 *h5, const char *array, const lt_h5_layout *layout) {
    hsize_t count = (hsize_t)layout->ndim;
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    lt_status status =
        set_attribute(h5, array, "DIMENSION_LABELS", type, H5Screate_simple(1, &count, NULL), layout->labels);
    H5Tclose(type);
    return status;
}

static lt_status describe_array(lt_h5 *h5, const char *array, const lt_h5_layout *layout) {
    if (layout->about) LT_TRY(set_text(h5, array, "description", layout->about));
    if (layout->units) LT_TRY(set_text(h5, array, "units", layout->units));
    if (layout->labels[0]) LT_TRY(set_labels(h5, array, layout));
    if (layout->type != LT_H5_RECORD) return LT_OK;
    for (const lt_h5_field *field = layout->fields; field->name; field++)
        if (field->about) LT_TRY(set_text(h5, array, field->name, field->about));
    return LT_OK;
}

lt_status lt_h5_describe(lt_h5 *h5, const char *array, const lt_h5_layout *layout) {
    lt_h5_enter();
    return lt_h5_leave(describe_array(h5, array, layout));
}

/* Reads an attribute as `type`, which must be of its class and, for a text, large enough. */
static lt_status get_attribute(lt_h5 *h5, const char *object, const char *name, hid_t type, void *out) {
    hid_t attribute = H5Aopen_by_name(h5->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0) return lt_h5_fail(h5, LT_INPUT, "find the attribute", name);
    hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool fits = H5Tget_class(stored) == H5Tget_class(type) && H5Sget_simple_extent_npoints(space) == 1 &&
                H5Tget_size(stored) <= MOST_BYTES;
    lt_status status = LT_OK;
    if (H5Tis_variable_str(stored) > 0)
        status = lt_fail(LT_INPUT,
                         "%s: the attribute %s is a text of variable length; write one of fixed length "
                         "(numpy.bytes_ in h5py)",
                         h5->path, name);
    else if (!fits) status = lt_fail(LT_INPUT, "%s: the attribute %s is of another type", h5->path, name);
    else if (H5Aread(attribute, type, out) < 0) status = lt_h5_fail(h5, LT_INPUT, "read the attribute", name);
    H5Sclose(space);
    H5Tclose(stored);
    H5Aclose(attribute);
    return status;
}

lt_status lt_h5_get_int(lt_h5 *h5, const char *object, const char *name, int64_t *out) {
    lt_h5_enter();
    return lt_h5_leave(get_attribute(h5, object, name, H5T_NATIVE_INT64, out));
}

lt_status lt_h5_get_float(lt_h5 *h5, const char *object, const char *name, double *out) {
    lt_h5_enter();
    return lt_h5_leave(get_attribute(h5, object, name, H5T_NATIVE_DOUBLE, out));
}

/* The character set is the stored one's, for HDF5 does not convert between them: ASCII is UTF-8. */
lt_status lt_h5_get_text(lt_h5 *h5, const char *object, const char *name, char *out, size_t size) {
    lt_h5_enter();
    hid_t type = lt_h5_text_type(size),
          attribute = H5Aopen_by_name(h5->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute >= 0) {
        hid_t stored = H5Aget_type(attribute);
        if (H5Tget_class(stored) == H5T_STRING) H5Tset_cset(type, H5Tget_cset(stored));
        H5Tclose(stored);
        H5Aclose(attribute);
    }
    lt_status status = get_attribute(h5, object, name, type, out);
    H5Tclose(type);
    return lt_h5_leave(status);
}
