/* What the files of the config engine share; not for other rooms. */
#ifndef LT_CORE_CONFIG_IMPL_H
#define LT_CORE_CONFIG_IMPL_H

#include "core/config.h"
#include <cjson/cJSON.h>

typedef struct lt_config_slot {
    const lt_key *key;
    cJSON *value; /* owned; NULL until set */
} lt_config_slot;

/* A document is one slot per registered key, in registration order: merging is replacing values. */
struct lt_config {
    int count;
    lt_config_slot slots[];
};

/* A document without values. */
lt_status lt_config_new(lt_config **out);
/* What `layer` says replaces what `config` says. */
lt_status lt_config_lay(lt_config *config, const lt_config *layer);
/* The files of one load. */
typedef struct lt_config_file lt_config_file;
typedef struct lt_config_files {
    lt_config_file *list;
    const lt_config_file *top; /* being read */
    int depth;
} lt_config_files;
/* Without defaults; "extends" first. */
lt_status lt_config_apply_text(lt_config *config, const char *text, size_t size, const char *origin,
                               lt_config_files *files);
lt_status lt_config_apply_file(lt_config *config, const char *path, lt_config_files *files);
lt_status lt_config_apply_extended(lt_config *config, const cJSON *extends, const char *origin,
                                   lt_config_files *files);
void lt_config_files_free(lt_config_files *files);

int lt_schema_count(void);
const lt_key *lt_schema_at(int index);

/* Position of a registered key, or -1. */
int lt_schema_find(const char *name);
/* Whether `name` is what comes before a dot in some key: "train" when "train.lr" is registered. */
bool lt_schema_is_group(const char *name);
/* The registered key that an unknown one probably means, or NULL. */
const char *lt_schema_suggest(const char *name);
/* Type, range and choices of one value. */
lt_status lt_schema_check(const lt_key *key, const cJSON *value, const char *origin);

bool lt_key_is_array(lt_key_type type);

#endif
