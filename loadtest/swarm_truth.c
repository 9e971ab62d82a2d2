#include "swarm_truth.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_update.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct swarm_truth {
    FILE *file;
    bool failed;
};

struct swarm_told_file *swarm_told_file(struct swarm_told *told, const struct swarm_image_key *key)
{
    struct swarm_told_file *file;

    for (uint32_t i = 0; i < told->file_count; i++)
        if (memcmp(&told->files[i].key, key, sizeof(*key)) == 0)
            return &told->files[i];
    if (told->file_count == SWARM_TOLD_FILES_MAX)
        memmove(told->files, told->files + 1, (--told->file_count) * sizeof(*told->files));
    file = &told->files[told->file_count++];
    *file = (struct swarm_told_file){.key = *key};
    return file;
}

void swarm_told_hold(struct swarm_told_file *file, uint32_t held_bytes)
{
    if (held_bytes <= file->held_bytes)
        return;
    file->new_bytes += held_bytes - file->held_bytes;
    file->held_bytes = held_bytes;
}

uint64_t swarm_told_twice(const struct swarm_told_file *file)
{
    return file->received_bytes - file->new_bytes;
}

struct swarm_told_module *swarm_told_module(struct swarm_told *told, char f, char n, uint16_t v)
{
    struct swarm_told_module *module;

    for (uint32_t i = 0; i < told->module_count; i++)
        if (told->modules[i].f == f && told->modules[i].n == n && told->modules[i].v == v)
            return &told->modules[i];
    if (told->module_count == SWARM_TOLD_MODULES_MAX)
        memmove(told->modules, told->modules + 1, (--told->module_count) * sizeof(*told->modules));
    module = &told->modules[told->module_count++];
    *module = (struct swarm_told_module){.f = f, .n = n, .v = v};
    return module;
}

struct swarm_truth *swarm_truth_open(const char *path)
{
    FILE *file = fopen(path, "ae");
    struct swarm_truth *t;

    if (!file)
        return NULL;
    t = mem_alloc(sizeof(*t));
    t->file = file;
    return t;
}

bool swarm_truth_close(struct swarm_truth *t)
{
    bool ok;

    if (!t)
        return true;
    ok = fclose(t->file) == 0 && !t->failed;
    free(t);
    return ok;
}

void swarm_truth_tell(const struct swarm_device *d, const char *event, json_t *fields)
{
    struct swarm_truth *t = d->world->truth;

    must(fields != NULL);
    if (t) {
        json_object_set_new(fields, "event", json_string(event));
        json_object_set_new(fields, "device", json_string(d->model->id_text));
        json_object_set_new(fields, "at_ms", json_integer((json_int_t)clock_wall_ms()));
        if (json_dumpf(fields, t->file, JSON_COMPACT) != 0 || fputc('\n', t->file) == EOF ||
            fflush(t->file) != 0)
            t->failed = true;
    }
    json_decref(fields);
}

static json_t *modules_json(const struct swarm_firmware *fw)
{
    json_t *modules = json_array();

    for (size_t i = 0; i < fw->module_count; i++) {
        const struct swarm_module *m = &fw->modules[i];

        json_array_append_new(modules, json_pack("{s:s%,s:s%,s:i}", "f", &m->f, (size_t)1, "n", &m->n,
                                                 (size_t)1, "v", (int)m->v));
    }
    return modules;
}

static json_t *runs_json(const struct swarm_device *d)
{
    json_t *fields = json_pack("{s:o}", "modules", modules_json(&d->model->firmware));

    if (d->model->firmware.cc3000[0])
        json_object_set_new(fields, "cc3000", json_string(d->model->firmware.cc3000));
    return fields;
}

void swarm_truth_tell_modules(const struct swarm_device *d)
{
    if (d->world->truth)
        swarm_truth_tell(d, "runs", runs_json(d));
}

static json_t *files_json(const struct swarm_told *told)
{
    json_t *files = json_array();

    for (uint32_t i = 0; told && i < told->file_count; i++) {
        const struct swarm_told_file *file = &told->files[i];
        char sha256[2 * SWARM_HASH_BYTES + 1];

        hex_encode(sha256, file->key.sha256, SWARM_HASH_BYTES);
        json_array_append_new(
            files,
            json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "sha256", sha256, "file_bytes",
                      (json_int_t)file->key.file_bytes, "starts", (json_int_t)file->starts,
                      "first_start_bytes", (json_int_t)file->first_start_bytes, "last_start_bytes",
                      (json_int_t)file->last_start_bytes, "received_bytes", (json_int_t)file->received_bytes,
                      "twice_bytes", (json_int_t)swarm_told_twice(file), "validated",
                      (json_int_t)file->validated, "applied", (json_int_t)file->applied));
    }
    return files;
}

static json_t *applied_json(const struct swarm_told *told)
{
    json_t *applied = json_array();

    for (uint32_t i = 0; told && i < told->module_count; i++) {
        const struct swarm_told_module *m = &told->modules[i];

        json_array_append_new(applied, json_pack("{s:s%,s:s%,s:i,s:I,s:I}", "f", &m->f, (size_t)1, "n", &m->n,
                                                 (size_t)1, "v", (int)m->v, "times", (json_int_t)m->applied,
                                                 "redundant", (json_int_t)m->redundant));
    }
    return applied;
}

void swarm_truth_tell_end(const struct swarm_device *d)
{
    const struct swarm_told *told = swarm_update_told(d);
    json_t *fields;

    if (!d->world->truth)
        return;
    fields = runs_json(d);
    json_object_set_new(fields, "state", json_string(swarm_device_state_name(d->state)));
    json_object_set_new(fields, "safe_mode",
                        json_boolean(swarm_firmware_is_in_safe_mode(&d->model->firmware)));
    json_object_set_new(fields, "reboots", json_integer((json_int_t)(told ? told->reboots : 0)));
    json_object_set_new(fields, "fall_backs", json_integer((json_int_t)(told ? told->fall_backs : 0)));
    json_object_set_new(fields, "files", files_json(told));
    json_object_set_new(fields, "applied", applied_json(told));
    swarm_truth_tell(d, "end", fields);
}
