/*
 * What the consumer and the producer share: the librdkafka handle, errors, events for JavaScript, the wake-up
 * of the event loop, and jobs (calls that may wait for the network, run on libuv's workers).
 *
 * Threads: everything is called on the JavaScript thread unless a comment says otherwise. Events and the waker
 * are also used from librdkafka's own threads and are guarded by their locks.
 */
#ifndef KAFKA_NATIVE_CLIENT_H
#define KAFKA_NATIVE_CLIENT_H

#ifndef NAPI_VERSION
#define NAPI_VERSION 8
#endif
#include <node_api.h>

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One blocking call to librdkafka inside a job: short enough that closing is never held up for long. */
#define SLICE_MS 1000

struct failure {
        bool failed;
        rd_kafka_resp_err_t code;
        bool fatal;
        bool retriable;
        bool abortable;
        char reason[512];
};

enum event_kind { EVENT_ASSIGNED, EVENT_REVOKED, EVENT_LOST, EVENT_END, EVENT_ERROR, EVENT_STATISTICS, EVENT_LOG };

struct event {
        struct event *next;
        enum event_kind kind;
        rd_kafka_topic_partition_list_t *partitions; /* ASSIGNED, REVOKED, LOST */
        char *topic;                                 /* END, and ERROR when it concerns a partition */
        int32_t partition;
        int64_t offset;
        char *text; /* STATISTICS: JSON; LOG: message */
        char facility[32];
        int level;
        struct failure failure;
};

struct events {
        pthread_mutex_t lock;
        struct event *head;
        struct event *tail;
        int droppable; /* errors, logs and statistics in the list: bounded, the others must never be lost */
};

/* Wakes the JavaScript thread once, however often it is asked before JavaScript has run. */
struct waker {
        pthread_mutex_t lock;
        napi_threadsafe_function function;
        bool signalled;
};

struct job;

struct client {
        rd_kafka_t *rk;
        struct waker waker;
        struct events events;
        int jobs;              /* running now */
        struct job *close_job; /* waits for the running ones */
        atomic_bool closing;
        bool closed; /* rk is gone */
        void (*discard)(struct client *client); /* frees everything; may block; any thread */
};

struct job {
        napi_async_work work;
        napi_deferred deferred;
        napi_ref owner;
        const char *operation;
        struct client *client;
        void (*run)(struct job *job);                               /* on a worker */
        void (*settled)(struct job *job);                           /* back on the JavaScript thread, may be NULL */
        napi_value (*result)(napi_env env, const struct job *job);  /* NULL: undefined */
        struct failure failure;

        int timeout_ms;
        rd_kafka_topic_partition_list_t *partitions;
        rd_kafka_topic_partition_list_t *log_starts;
        rd_kafka_IsolationLevel_t isolation;
        rd_kafka_consumer_group_metadata_t *group;
        char **names;
        int *counts;
        size_t name_count;
};

/* The process is exiting: jobs end at their next slice. */
extern atomic_bool process_exiting;

/* ---- errors ---- */
void failure_set(struct failure *failure, rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes the error over; true when there was one. */
bool failure_take(struct failure *failure, rd_kafka_t *rk, rd_kafka_error_t *error);
/* The first partition of the list that has an error; true when there is one. */
bool failure_of_partitions(struct failure *failure, rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list);
napi_value error_create(napi_env env, const char *operation, const struct failure *failure);
/* Throws; returns NULL for `return throw_failure(...)`. */
napi_value throw_failure(napi_env env, const char *operation, const struct failure *failure);
napi_value throw_argument(napi_env env, const char *operation, const char *reason);

/* ---- events ---- */
struct event *event_new(enum event_kind kind);
void events_push(struct events *events, struct event *event);
void events_push_error(struct client *client, rd_kafka_resp_err_t code, const char *reason, const char *topic,
                       int32_t partition);
napi_value events_take(napi_env env, struct events *events);
bool events_waiting(struct events *events);

/* ---- clients ---- */
void client_configure_logging(rd_kafka_conf_t *conf);
/* Reads [name, value, name, value, ...]; NULL after throwing. */
rd_kafka_conf_t *configuration_read(napi_env env, napi_value pairs, const char *operation);
bool client_prepare(napi_env env, struct client *client, napi_value on_wake);
/* Wraps a client in a JavaScript object with this tag. */
napi_value client_wrap(napi_env env, struct client *client, const napi_type_tag *tag);
struct client *client_of(napi_env env, napi_value handle, const napi_type_tag *tag, const char *operation);
/* After rk is gone. */
void client_release(struct client *client);
void waker_wake(struct waker *waker);
/* Stops waking JavaScript for good. */
void waker_stop(struct waker *waker);

/* ---- jobs ---- */
struct job *job_new(struct client *client, const char *operation, void (*run)(struct job *));
/* Starts the job and returns its promise. Close jobs wait for the others. */
napi_value job_start(napi_env env, napi_value handle, struct job *job, bool closes);
/* Milliseconds of a monotonic clock. */
int64_t now_ms(void);
int slice_of(int64_t deadline);
bool job_stopping(const struct job *job);

/* ---- values ---- */
bool partitions_read(napi_env env, const char *operation, napi_value topics, napi_value numbers, napi_value offsets,
                     napi_value metadata, rd_kafka_topic_partition_list_t **list);
napi_value partitions_create(napi_env env, const rd_kafka_topic_partition_list_t *list);
/* A malloc'ed UTF-8 copy, or NULL when the value is no string. */
char *text_of(napi_env env, napi_value value);
bool names_read(napi_env env, napi_value array, char ***names, size_t *count);
void names_free(char **names, size_t count);
void set_named(napi_env env, napi_value object, const char *name, napi_value value);
napi_value number_of(napi_env env, double number);
napi_value string_of(napi_env env, const char *text);
int int_of(napi_env env, napi_value value, int otherwise);
void *typed_array_of(napi_env env, napi_value value, napi_typedarray_type type, size_t *length);

napi_value consumer_exports(napi_env env, napi_value exports);
napi_value producer_exports(napi_env env, napi_value exports);
void run_partition_counts(struct job *job);
napi_value result_partition_counts(napi_env env, const struct job *job);

#define EXPORT_FUNCTION(env, exports, name, function)                                                                  \
        do {                                                                                                           \
                napi_value exported_function;                                                                          \
                napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &exported_function);                 \
                napi_set_named_property(env, exports, name, exported_function);                                        \
        } while (0)

#endif
