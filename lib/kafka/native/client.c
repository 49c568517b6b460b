/* What the consumer and the producer share; see client.h. */
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_DROPPABLE_EVENTS 1000

atomic_bool process_exiting = false;

struct instance {
        napi_ref error_factory;
};

/* ---------------------------------------------------------------- errors */

void failure_set(struct failure *failure, rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *format, ...) {
        va_list arguments;
        memset(failure, 0, sizeof(*failure));
        failure->failed = true;
        failure->code   = code;
        va_start(arguments, format);
        vsnprintf(failure->reason, sizeof(failure->reason), format, arguments);
        va_end(arguments);
        failure->retriable = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
                             code == RD_KAFKA_RESP_ERR__WAIT_COORD || code == RD_KAFKA_RESP_ERR__QUEUE_FULL ||
                             code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
                             code == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
                             code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
                             code == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS ||
                             code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
                             code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
                             code == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT;
        if (rk != NULL && (code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__FENCED)) {
                char reason[400];
                rd_kafka_resp_err_t cause = rd_kafka_fatal_error(rk, reason, sizeof(reason));
                failure->fatal            = true;
                if (cause != RD_KAFKA_RESP_ERR_NO_ERROR) {
                        failure->code = cause;
                        snprintf(failure->reason, sizeof(failure->reason), "%s", reason);
                }
        }
}

bool failure_take(struct failure *failure, rd_kafka_t *rk, rd_kafka_error_t *error) {
        if (error == NULL)
                return false;
        failure_set(failure, rk, rd_kafka_error_code(error), "%s", rd_kafka_error_string(error));
        failure->fatal     = failure->fatal || rd_kafka_error_is_fatal(error);
        failure->retriable = rd_kafka_error_is_retriable(error);
        failure->abortable = rd_kafka_error_txn_requires_abort(error);
        rd_kafka_error_destroy(error);
        return true;
}

bool failure_of_partitions(struct failure *failure, rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list) {
        for (int i = 0; i < list->cnt; i++) {
                const rd_kafka_topic_partition_t *entry = &list->elems[i];
                if (entry->err == RD_KAFKA_RESP_ERR_NO_ERROR)
                        continue;
                failure_set(failure, rk, entry->err, "%s [%d]: %s", entry->topic, (int)entry->partition,
                            rd_kafka_err2str(entry->err));
                return true;
        }
        return false;
}

napi_value error_create(napi_env env, const char *operation, const struct failure *failure) {
        struct instance *instance = NULL;
        napi_value factory, undefined, error, arguments[5];
        napi_get_instance_data(env, (void **)&instance);
        napi_get_undefined(env, &undefined);
        napi_get_reference_value(env, instance->error_factory, &factory);
        arguments[0] = string_of(env, operation);
        arguments[1] = number_of(env, failure->code);
        arguments[2] = string_of(env, rd_kafka_err2name(failure->code));
        arguments[3] = string_of(env, failure->reason);
        arguments[4] = number_of(env, (failure->fatal ? 1 : 0) | (failure->retriable ? 2 : 0) |
                                          (failure->abortable ? 4 : 0));
        if (napi_call_function(env, undefined, factory, 5, arguments, &error) != napi_ok)
                return undefined;
        return error;
}

napi_value throw_failure(napi_env env, const char *operation, const struct failure *failure) {
        napi_throw(env, error_create(env, operation, failure));
        return NULL;
}

napi_value throw_argument(napi_env env, const char *operation, const char *reason) {
        struct failure failure;
        failure_set(&failure, NULL, RD_KAFKA_RESP_ERR__INVALID_ARG, "%s", reason);
        return throw_failure(env, operation, &failure);
}

/* ---------------------------------------------------------------- events */

struct event *event_new(enum event_kind kind) {
        struct event *event = calloc(1, sizeof(*event));
        event->kind         = kind;
        event->partition    = -1;
        return event;
}

static void event_free(struct event *event) {
        if (event->partitions != NULL)
                rd_kafka_topic_partition_list_destroy(event->partitions);
        free(event->topic);
        free(event->text);
        free(event);
}

static bool event_droppable(const struct event *event) {
        return event->kind == EVENT_LOG || event->kind == EVENT_STATISTICS ||
               (event->kind == EVENT_ERROR && !event->failure.fatal);
}

/* Any thread. */
void events_push(struct events *events, struct event *event) {
        pthread_mutex_lock(&events->lock);
        if (event_droppable(event) && events->droppable >= MOST_DROPPABLE_EVENTS) {
                pthread_mutex_unlock(&events->lock);
                event_free(event);
                return;
        }
        events->droppable += event_droppable(event) ? 1 : 0;
        if (events->tail == NULL)
                events->head = event;
        else
                events->tail->next = event;
        events->tail = event;
        pthread_mutex_unlock(&events->lock);
}

/* Any thread. */
void events_push_error(struct client *client, rd_kafka_resp_err_t code, const char *reason, const char *topic,
                       int32_t partition) {
        struct event *event = event_new(EVENT_ERROR);
        failure_set(&event->failure, client->rk, code, "%s", reason);
        if (topic != NULL)
                event->topic = strdup(topic);
        event->partition = partition;
        events_push(&client->events, event);
}

bool events_waiting(struct events *events) {
        pthread_mutex_lock(&events->lock);
        bool waiting = events->head != NULL;
        pthread_mutex_unlock(&events->lock);
        return waiting;
}

static struct event *events_detach(struct events *events) {
        pthread_mutex_lock(&events->lock);
        struct event *head = events->head;
        events->head = events->tail = NULL;
        events->droppable           = 0;
        pthread_mutex_unlock(&events->lock);
        return head;
}

static napi_value event_create(napi_env env, const struct event *event) {
        static const char *const types[] = {"assigned", "revoked", "lost", "end", "error", "statistics", "log"};
        napi_value object;
        napi_create_object(env, &object);
        set_named(env, object, "type", string_of(env, types[event->kind]));
        switch (event->kind) {
        case EVENT_ASSIGNED:
        case EVENT_REVOKED:
        case EVENT_LOST:
                set_named(env, object, "partitions", partitions_create(env, event->partitions));
                break;
        case EVENT_END:
                set_named(env, object, "topic", string_of(env, event->topic));
                set_named(env, object, "partition", number_of(env, event->partition));
                set_named(env, object, "offset", number_of(env, (double)event->offset));
                break;
        case EVENT_ERROR:
                set_named(env, object, "error", error_create(env, "client", &event->failure));
                if (event->topic != NULL) {
                        set_named(env, object, "topic", string_of(env, event->topic));
                        set_named(env, object, "partition", number_of(env, event->partition));
                }
                break;
        case EVENT_STATISTICS:
                set_named(env, object, "json", string_of(env, event->text));
                break;
        case EVENT_LOG:
                set_named(env, object, "level", number_of(env, event->level));
                set_named(env, object, "facility", string_of(env, event->facility));
                set_named(env, object, "message", string_of(env, event->text));
                break;
        }
        return object;
}

napi_value events_take(napi_env env, struct events *events) {
        napi_value array;
        uint32_t index = 0;
        napi_create_array(env, &array);
        for (struct event *event = events_detach(events), *next; event != NULL; event = next) {
                next = event->next;
                napi_set_element(env, array, index++, event_create(env, event));
                event_free(event);
        }
        return array;
}

/* ---------------------------------------------------------------- waking JavaScript */

/* Any thread. */
void waker_wake(struct waker *waker) {
        pthread_mutex_lock(&waker->lock);
        if (waker->function != NULL && !waker->signalled) {
                napi_status status = napi_call_threadsafe_function(waker->function, NULL, napi_tsfn_nonblocking);
                if (status == napi_ok)
                        waker->signalled = true;
                else if (status == napi_closing)
                        waker->function = NULL;
        }
        pthread_mutex_unlock(&waker->lock);
}

static void waker_call(napi_env env, napi_value function, void *context, void *data) {
        struct waker *waker = context;
        (void)data;
        if (env == NULL) /* the environment is going away; the context may be gone, too */
                return;
        pthread_mutex_lock(&waker->lock);
        waker->signalled = false;
        bool stopped     = waker->function == NULL;
        pthread_mutex_unlock(&waker->lock);
        if (!stopped) {
                napi_value undefined;
                napi_get_undefined(env, &undefined);
                napi_call_function(env, undefined, function, 0, NULL, NULL);
        }
}

void waker_stop(struct waker *waker) {
        pthread_mutex_lock(&waker->lock);
        napi_threadsafe_function function = waker->function;
        waker->function                   = NULL;
        pthread_mutex_unlock(&waker->lock);
        if (function != NULL)
                napi_release_threadsafe_function(function, napi_tsfn_abort);
}

/* ---------------------------------------------------------------- clients */

/* Any thread of librdkafka's. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *message) {
        struct client *client = rd_kafka_opaque(rk);
        struct event *event   = event_new(EVENT_LOG);
        event->level          = level;
        snprintf(event->facility, sizeof(event->facility), "%s", facility);
        event->text = strdup(message);
        events_push(&client->events, event);
}

void client_configure_logging(rd_kafka_conf_t *conf) {
        rd_kafka_conf_set_log_cb(conf, on_log);
}

rd_kafka_conf_t *configuration_read(napi_env env, napi_value pairs, const char *operation) {
        char **texts  = NULL;
        size_t count  = 0;
        char reason[400];
        if (!names_read(env, pairs, &texts, &count)) {
                throw_argument(env, operation, "the configuration is not a list of texts");
                return NULL;
        }
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        for (size_t i = 0; i + 1 < count; i += 2) {
                if (rd_kafka_conf_set(conf, texts[i], texts[i + 1], reason, sizeof(reason)) != RD_KAFKA_CONF_OK) {
                        throw_argument(env, operation, reason);
                        rd_kafka_conf_destroy(conf);
                        conf = NULL;
                        break;
                }
        }
        names_free(texts, count);
        return conf;
}

bool client_prepare(napi_env env, struct client *client, napi_value on_wake) {
        napi_value name = string_of(env, "kafka-wake");
        pthread_mutex_init(&client->waker.lock, NULL);
        pthread_mutex_init(&client->events.lock, NULL);
        if (napi_create_threadsafe_function(env, on_wake, NULL, name, 0, 1, NULL, NULL, &client->waker, waker_call,
                                            &client->waker.function) != napi_ok)
                return false;
        /* What waits for Kafka holds a timer; the client itself never keeps the process alive. */
        napi_unref_threadsafe_function(env, client->waker.function);
        return true;
}

void client_release(struct client *client) {
        for (struct event *event = events_detach(&client->events), *next; event != NULL; event = next) {
                next = event->next;
                event_free(event);
        }
        client->closed = true;
        client->rk     = NULL;
}

static void *discard_main(void *argument) {
        struct client *client = argument;
        client->discard(client);
        client_release(client);
        free(client);
        return NULL;
}

/* The JavaScript object is gone. A client that nobody closed is torn down by a thread of its own: it may block. */
static void client_finalize(napi_env env, void *data, void *hint) {
        struct client *client = data;
        (void)env;
        (void)hint;
        waker_stop(&client->waker);
        if (client->closed) {
                free(client);
                return;
        }
        atomic_store(&client->closing, true);
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        /* When no thread can be had the client leaks: the process is about to end anyway. */
        (void)!pthread_create(&thread, &attributes, discard_main, client);
        pthread_attr_destroy(&attributes);
}

napi_value client_wrap(napi_env env, struct client *client, const napi_type_tag *tag) {
        napi_value object;
        napi_create_object(env, &object);
        napi_type_tag_object(env, object, tag);
        napi_wrap(env, object, client, client_finalize, NULL, NULL);
        return object;
}

struct client *client_of(napi_env env, napi_value handle, const napi_type_tag *tag, const char *operation) {
        struct client *client = NULL;
        bool tagged           = false;
        if (napi_check_object_type_tag(env, handle, tag, &tagged) != napi_ok || !tagged ||
            napi_unwrap(env, handle, (void **)&client) != napi_ok) {
                throw_argument(env, operation, "not a handle of this kind of client");
                return NULL;
        }
        if (client->closed || atomic_load(&client->closing)) {
                struct failure failure;
                failure_set(&failure, NULL, RD_KAFKA_RESP_ERR__DESTROY, "the client is closed");
                throw_failure(env, operation, &failure);
                return NULL;
        }
        return client;
}

/* ---------------------------------------------------------------- jobs */

int64_t now_ms(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int slice_of(int64_t deadline) {
        int64_t left = deadline - now_ms();
        return left <= 0 ? 0 : left < SLICE_MS ? (int)left : SLICE_MS;
}

bool job_stopping(const struct job *job) {
        return atomic_load(&job->client->closing) || atomic_load(&process_exiting);
}

struct job *job_new(struct client *client, const char *operation, void (*run)(struct job *)) {
        struct job *job = calloc(1, sizeof(*job));
        job->client     = client;
        job->operation  = operation;
        job->run        = run;
        return job;
}

static void job_free(napi_env env, struct job *job) {
        if (job->work != NULL)
                napi_delete_async_work(env, job->work);
        if (job->owner != NULL)
                napi_delete_reference(env, job->owner);
        if (job->partitions != NULL)
                rd_kafka_topic_partition_list_destroy(job->partitions);
        if (job->log_starts != NULL)
                rd_kafka_topic_partition_list_destroy(job->log_starts);
        if (job->group != NULL)
                rd_kafka_consumer_group_metadata_destroy(job->group);
        names_free(job->names, job->name_count);
        free(job->counts);
        free(job);
}

static void job_execute(napi_env env, void *data) {
        struct job *job = data;
        (void)env;
        job->run(job);
}

static void job_complete(napi_env env, napi_status status, void *data) {
        struct job *job       = data;
        struct client *client = job->client;
        client->jobs--;
        if (client->jobs == 0 && client->close_job != NULL && client->close_job != job) {
                client->jobs++;
                napi_queue_async_work(env, client->close_job->work);
        }
        if (status != napi_cancelled) {
                napi_value value;
                if (job->settled != NULL)
                        job->settled(job);
                if (job->failure.failed) {
                        napi_reject_deferred(env, job->deferred, error_create(env, job->operation, &job->failure));
                } else {
                        if (job->result != NULL)
                                value = job->result(env, job);
                        else
                                napi_get_undefined(env, &value);
                        napi_resolve_deferred(env, job->deferred, value);
                }
        }
        job_free(env, job);
}

napi_value job_start(napi_env env, napi_value handle, struct job *job, bool closes) {
        napi_value promise = NULL;
        napi_create_promise(env, &job->deferred, &promise);
        napi_create_reference(env, handle, 1, &job->owner);
        napi_create_async_work(env, NULL, string_of(env, job->operation), job_execute, job_complete, job, &job->work);
        if (closes) {
                atomic_store(&job->client->closing, true);
                job->client->close_job = job;
                if (job->client->jobs > 0)
                        return promise;
        }
        job->client->jobs++;
        napi_queue_async_work(env, job->work);
        return promise;
}

/* Waits for one admin answer on a queue of its own; NULL after setting the job's failure. Worker. */
static rd_kafka_event_t *admin_answer(struct job *job, rd_kafka_queue_t *queue, int64_t deadline) {
        for (;;) {
                rd_kafka_event_t *event = rd_kafka_queue_poll(queue, slice_of(deadline));
                if (event != NULL) {
                        if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
                                return event;
                        failure_set(&job->failure, job->client->rk, rd_kafka_event_error(event), "%s",
                                    rd_kafka_event_error_string(event));
                        rd_kafka_event_destroy(event);
                        return NULL;
                }
                if (job_stopping(job) || now_ms() >= deadline) {
                        failure_set(&job->failure, job->client->rk, RD_KAFKA_RESP_ERR__TIMED_OUT,
                                    "no answer in %d ms", job->timeout_ms);
                        return NULL;
                }
        }
}

/* Partition counts of job->names into job->counts; -1 where the topic does not exist. Worker. */
void run_partition_counts(struct job *job) {
        char reason[256];
        rd_kafka_t *rk          = job->client->rk;
        rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
        rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        rd_kafka_AdminOptions_set_request_timeout(options, job->timeout_ms < 1 ? 1 : job->timeout_ms, reason,
                                                  sizeof(reason));
        rd_kafka_TopicCollection_t *topics =
            rd_kafka_TopicCollection_of_topic_names((const char **)job->names, job->name_count);
        rd_kafka_DescribeTopics(rk, topics, options, queue);
        rd_kafka_event_t *event = admin_answer(job, queue, now_ms() + job->timeout_ms + 200);
        if (event != NULL) {
                size_t count = 0;
                const rd_kafka_TopicDescription_t **found =
                    rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &count);
                job->counts = calloc(job->name_count, sizeof(*job->counts));
                for (size_t i = 0; i < job->name_count; i++)
                        job->counts[i] = -1;
                for (size_t i = 0; i < count && !job->failure.failed; i++) {
                        const char *name              = rd_kafka_TopicDescription_name(found[i]);
                        const rd_kafka_error_t *error = rd_kafka_TopicDescription_error(found[i]);
                        size_t partitions             = 0;
                        if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
                                continue;
                        if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_NO_ERROR) {
                                failure_set(&job->failure, rk, rd_kafka_error_code(error), "topic %s: %s", name,
                                            rd_kafka_error_string(error));
                                break;
                        }
                        (void)rd_kafka_TopicDescription_partitions(found[i], &partitions);
                        for (size_t j = 0; j < job->name_count; j++)
                                if (strcmp(job->names[j], name) == 0)
                                        job->counts[j] = (int)partitions;
                }
                rd_kafka_event_destroy(event);
        }
        rd_kafka_TopicCollection_destroy(topics);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
}

napi_value result_partition_counts(napi_env env, const struct job *job) {
        napi_value array;
        napi_create_array(env, &array);
        for (size_t i = 0; i < job->name_count; i++)
                napi_set_element(env, array, (uint32_t)i, number_of(env, job->counts[i]));
        return array;
}

/* ---------------------------------------------------------------- values */

napi_value number_of(napi_env env, double number) {
        napi_value value;
        napi_create_double(env, number, &value);
        return value;
}

napi_value string_of(napi_env env, const char *text) {
        napi_value value;
        napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
        return value;
}

void set_named(napi_env env, napi_value object, const char *name, napi_value value) {
        napi_set_named_property(env, object, name, value);
}

int int_of(napi_env env, napi_value value, int otherwise) {
        int32_t number = otherwise;
        return napi_get_value_int32(env, value, &number) == napi_ok ? number : otherwise;
}

char *text_of(napi_env env, napi_value value) {
        size_t length = 0;
        if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok)
                return NULL;
        char *text = malloc(length + 1);
        napi_get_value_string_utf8(env, value, text, length + 1, &length);
        return text;
}

void names_free(char **names, size_t count) {
        for (size_t i = 0; i < count; i++)
                free(names[i]);
        free(names);
}

bool names_read(napi_env env, napi_value array, char ***names, size_t *count) {
        uint32_t length = 0;
        if (napi_get_array_length(env, array, &length) != napi_ok)
                return false;
        char **texts = calloc(length + 1, sizeof(*texts));
        for (uint32_t i = 0; i < length; i++) {
                napi_value element;
                napi_get_element(env, array, i, &element);
                texts[i] = text_of(env, element);
                if (texts[i] == NULL) {
                        names_free(texts, i);
                        return false;
                }
        }
        *names = texts;
        *count = length;
        return true;
}

void *typed_array_of(napi_env env, napi_value value, napi_typedarray_type type, size_t *length) {
        napi_typedarray_type actual;
        void *data = NULL;
        bool typed = false;
        if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed ||
            napi_get_typedarray_info(env, value, &actual, length, &data, NULL, NULL) != napi_ok || actual != type) {
                *length = 0;
                return NULL;
        }
        /* An empty array may have no memory at all. */
        static double nothing;
        return data != NULL ? data : &nothing;
}

bool partitions_read(napi_env env, const char *operation, napi_value topics, napi_value numbers, napi_value offsets,
                     napi_value metadata, rd_kafka_topic_partition_list_t **list) {
        char **names = NULL;
        size_t count = 0, number_count = 0, offset_count = 0;
        int32_t *partitions = typed_array_of(env, numbers, napi_int32_array, &number_count);
        double *positions =
            offsets == NULL ? NULL : typed_array_of(env, offsets, napi_float64_array, &offset_count);
        if (!names_read(env, topics, &names, &count) || partitions == NULL || number_count != count ||
            (offsets != NULL && (positions == NULL || offset_count != count))) {
                names_free(names, count);
                throw_argument(env, operation, "topics, partitions and offsets must be lists of one length");
                return false;
        }
        bool described = false;
        if (metadata != NULL)
                napi_is_array(env, metadata, &described);
        *list = rd_kafka_topic_partition_list_new((int)count + 1);
        for (size_t i = 0; i < count; i++) {
                rd_kafka_topic_partition_t *entry =
                    rd_kafka_topic_partition_list_add(*list, names[i], partitions[i]);
                if (positions != NULL)
                        entry->offset = (int64_t)positions[i];
                if (described) {
                        napi_value element;
                        size_t length = 0;
                        napi_get_element(env, metadata, (uint32_t)i, &element);
                        if (napi_get_value_string_utf8(env, element, NULL, 0, &length) == napi_ok) {
                                entry->metadata = rd_kafka_mem_malloc(NULL, length + 1);
                                napi_get_value_string_utf8(env, element, entry->metadata, length + 1, &length);
                                entry->metadata_size = length;
                        }
                }
        }
        names_free(names, count);
        return true;
}

napi_value partitions_create(napi_env env, const rd_kafka_topic_partition_list_t *list) {
        napi_value array;
        napi_create_array(env, &array);
        for (int i = 0; i < list->cnt; i++) {
                const rd_kafka_topic_partition_t *entry = &list->elems[i];
                napi_value object;
                napi_create_object(env, &object);
                set_named(env, object, "topic", string_of(env, entry->topic));
                set_named(env, object, "partition", number_of(env, entry->partition));
                set_named(env, object, "offset", number_of(env, (double)entry->offset));
                if (entry->metadata_size > 0) {
                        napi_value text;
                        napi_create_string_utf8(env, entry->metadata, entry->metadata_size, &text);
                        set_named(env, object, "metadata", text);
                }
                napi_set_element(env, array, (uint32_t)i, object);
        }
        return array;
}

/* ---------------------------------------------------------------- module */

/* setErrorFactory((operation, code, name, reason, flags) => Error) */
static napi_value set_error_factory(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value argument;
        struct instance *instance = NULL;
        napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
        napi_get_instance_data(env, (void **)&instance);
        if (instance->error_factory != NULL)
                napi_delete_reference(env, instance->error_factory);
        napi_create_reference(env, argument, 1, &instance->error_factory);
        return NULL;
}

/* processExiting(): jobs that wait for the network give up, so that exit() does not wait for their workers. */
static napi_value set_process_exiting(napi_env env, napi_callback_info info) {
        (void)env;
        (void)info;
        atomic_store(&process_exiting, true);
        return NULL;
}

static void instance_free(napi_env env, void *data, void *hint) {
        (void)env;
        (void)hint;
        free(data);
}

NAPI_MODULE_INIT() {
        struct instance *instance = calloc(1, sizeof(*instance));
        napi_set_instance_data(env, instance, instance_free, NULL);
        EXPORT_FUNCTION(env, exports, "setErrorFactory", set_error_factory);
        EXPORT_FUNCTION(env, exports, "processExiting", set_process_exiting);
        set_named(env, exports, "librdkafkaVersion", string_of(env, rd_kafka_version_str()));
        consumer_exports(env, exports);
        producer_exports(env, exports);
        return exports;
}
