/* What this program was built from and with: for environment.json and `longtake version`. */
#ifndef LT_TRAIN_BUILD_INFO_H
#define LT_TRAIN_BUILD_INFO_H

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;

/* Adds version, commit (null where unknown), dirty, compiler and libraries: {name: version, or null where the build
 * does without}. */
void lt_build_info(struct cJSON *root);

#ifdef __cplusplus
}
#endif
#endif
