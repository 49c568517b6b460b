/*
 * The consumer's mechanics: packed polls, rebalance events that JavaScript answers, and the calls that move or
 * look up positions.
 *
 * Messages that were taken from librdkafka but did not fit the slab are kept here for the next poll. They are
 * beyond librdkafka's version barriers, so everything that makes them stale (seek, unassign) drops them, and
 * those of paused partitions are held back.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for kept messages to begin with; one that does not fit the slab is kept, and those of paused partitions. */
#define FIRST_KEPT 64

static const napi_type_tag CONSUMER_TAG = {0x6b61666b612d636fULL, 0x6e73756d65722d31ULL};

struct consumer {
        struct client client; /* first */
        rd_kafka_queue_t *queue;
        char **topics; /* interned names */
        rd_kafka_topic_t **topic_handles; /* the handle each name was last seen with */
        int topic_count;
        rd_kafka_message_t **kept;
        size_t kept_count;
        size_t kept_capacity;
        rd_kafka_topic_partition_list_t *paused;
        rd_kafka_topic_partition_list_t *unanswered; /* of the last rebalance, until JavaScript answers it */
        bool unanswered_assign;
        int seeks; /* running: nothing is polled meanwhile */
};

/* Pointers into a RecordBatch's columns, taken once. */
struct batch {
        uint8_t *data;
        size_t size;
        size_t capacity;
        int32_t *topic, *partition, *leader_epoch;
        double *offset, *timestamp;
        int32_t *key_start, *key_length, *value_start, *value_length;
        int32_t *headers_start, *headers_length, *headers_count;
        double *status; /* [bytes used, bytes needed by a record larger than the slab] */
};

static struct consumer *consumer_of(napi_env env, napi_value handle, const char *operation) {
        return (struct consumer *)client_of(env, handle, &CONSUMER_TAG, operation);
}

/* ---------------------------------------------------------------- rebalance */

static bool cooperative(rd_kafka_t *rk) {
        const char *protocol = rd_kafka_rebalance_protocol(rk);
        return protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0;
}

static void unanswered_clear(struct consumer *consumer) {
        if (consumer->unanswered != NULL)
                rd_kafka_topic_partition_list_destroy(consumer->unanswered);
        consumer->unanswered = NULL;
}

/* While closing nobody answers but we do. Worker. */
static void rebalance_answer(rd_kafka_t *rk, bool assign, const rd_kafka_topic_partition_list_t *partitions) {
        rd_kafka_error_t *error = NULL;
        if (!cooperative(rk)) {
                rd_kafka_assign(rk, NULL);
                return;
        }
        if (assign) {
                rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
                error                                 = rd_kafka_incremental_assign(rk, none);
                rd_kafka_topic_partition_list_destroy(none);
        } else {
                rd_kafka_topic_partition_list_t *held = NULL;
                rd_kafka_topic_partition_list_t *rest = rd_kafka_topic_partition_list_new(partitions->cnt + 1);
                if (rd_kafka_assignment(rk, &held) == RD_KAFKA_RESP_ERR_NO_ERROR) {
                        for (int i = 0; i < partitions->cnt; i++)
                                if (rd_kafka_topic_partition_list_find(held, partitions->elems[i].topic,
                                                                       partitions->elems[i].partition) != NULL)
                                        rd_kafka_topic_partition_list_add(rest, partitions->elems[i].topic,
                                                                          partitions->elems[i].partition);
                        rd_kafka_topic_partition_list_destroy(held);
                }
                error = rd_kafka_incremental_unassign(rk, rest);
                rd_kafka_topic_partition_list_destroy(rest);
        }
        if (error != NULL) {
                rd_kafka_error_destroy(error);
                rd_kafka_assign(rk, NULL);
        }
}

/* Called inside a poll (JavaScript thread), or inside close (worker). */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                         void *opaque) {
        struct consumer *consumer = opaque;
        bool assign               = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if (atomic_load(&consumer->client.closing)) {
                rebalance_answer(rk, assign, partitions);
                return;
        }
        if (!assign && code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
                events_push_error(&consumer->client, code, rd_kafka_err2str(code), NULL, -1);
                rd_kafka_assign(rk, NULL);
                return;
        }
        struct event *event = event_new(assign                          ? EVENT_ASSIGNED
                                        : rd_kafka_assignment_lost(rk) ? EVENT_LOST
                                                                        : EVENT_REVOKED);
        event->partitions = rd_kafka_topic_partition_list_copy(partitions);
        unanswered_clear(consumer);
        consumer->unanswered        = rd_kafka_topic_partition_list_copy(partitions);
        consumer->unanswered_assign = assign;
        events_push(&consumer->client.events, event);
}

/* Called inside a poll. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
        (void)rk;
        events_push_error(opaque, (rd_kafka_resp_err_t)code, reason, NULL, -1);
}

/* Called inside a poll. */
static int on_statistics(rd_kafka_t *rk, char *json, size_t length, void *opaque) {
        struct client *client = opaque;
        struct event *event   = event_new(EVENT_STATISTICS);
        (void)rk;
        event->text = strndup(json, length);
        events_push(&client->events, event);
        return 0;
}

/* Any thread of librdkafka's: the queue was empty and is not any more. */
static void on_queue(rd_kafka_t *rk, void *opaque) {
        struct client *client = opaque;
        (void)rk;
        waker_wake(&client->waker);
}

/* ---------------------------------------------------------------- kept messages */

static bool is_paused(const struct consumer *consumer, const rd_kafka_message_t *message) {
        return consumer->paused->cnt > 0 && message->rkt != NULL &&
               rd_kafka_topic_partition_list_find(consumer->paused, rd_kafka_topic_name(message->rkt),
                                                  message->partition) != NULL;
}

static void keep(struct consumer *consumer, rd_kafka_message_t *message) {
        if (consumer->kept_count == consumer->kept_capacity) {
                consumer->kept_capacity = consumer->kept_capacity == 0 ? FIRST_KEPT : consumer->kept_capacity * 2;
                consumer->kept = realloc(consumer->kept, consumer->kept_capacity * sizeof(*consumer->kept));
        }
        consumer->kept[consumer->kept_count++] = message;
}

/* Drops what is kept of these partitions; of all when NULL. */
static void drop_kept(struct consumer *consumer, rd_kafka_topic_partition_list_t *partitions) {
        size_t left = 0;
        for (size_t i = 0; i < consumer->kept_count; i++) {
                rd_kafka_message_t *message = consumer->kept[i];
                if (partitions == NULL ||
                    (message->rkt != NULL &&
                     rd_kafka_topic_partition_list_find(partitions, rd_kafka_topic_name(message->rkt),
                                                        message->partition) != NULL))
                        rd_kafka_message_destroy(message);
                else
                        consumer->kept[left++] = message;
        }
        consumer->kept_count = left;
}

/* ---------------------------------------------------------------- polling */

static int topic_index(struct consumer *consumer, rd_kafka_topic_t *handle) {
        const char *name = rd_kafka_topic_name(handle);
        for (int i = 0; i < consumer->topic_count; i++) {
                /* A handle may be freed and its address used again, so the name has the last word. */
                if (consumer->topic_handles[i] == handle && strcmp(consumer->topics[i], name) == 0)
                        return i;
        }
        for (int i = 0; i < consumer->topic_count; i++) {
                if (strcmp(consumer->topics[i], name) == 0) {
                        consumer->topic_handles[i] = handle;
                        return i;
                }
        }
        size_t bytes            = (size_t)(consumer->topic_count + 1) * sizeof(void *);
        consumer->topics        = realloc(consumer->topics, bytes);
        consumer->topic_handles = realloc(consumer->topic_handles, bytes);
        consumer->topics[consumer->topic_count]        = strdup(name);
        consumer->topic_handles[consumer->topic_count] = handle;
        return consumer->topic_count++;
}

enum placed { PLACED, SLAB_FULL, RECORD_TOO_LARGE };

static void write_int32(uint8_t *at, int32_t number) {
        at[0] = (uint8_t)number;
        at[1] = (uint8_t)(number >> 8);
        at[2] = (uint8_t)(number >> 16);
        at[3] = (uint8_t)(number >> 24);
}

/* Copies one message behind the batch's last one, or turns it into an event. */
static enum placed place(struct consumer *consumer, struct batch *batch, rd_kafka_message_t *message, size_t *count,
                         size_t *used) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
                const char *topic = message->rkt == NULL ? NULL : rd_kafka_topic_name(message->rkt);
                if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                        struct event *event = event_new(EVENT_END);
                        event->topic        = strdup(topic == NULL ? "" : topic);
                        event->partition    = message->partition;
                        event->offset       = message->offset;
                        events_push(&consumer->client.events, event);
                } else {
                        events_push_error(&consumer->client, message->err, rd_kafka_message_errstr(message), topic,
                                          message->partition);
                }
                return PLACED;
        }
        size_t key     = message->key == NULL ? 0 : message->key_len;
        size_t value   = message->payload == NULL ? 0 : message->len;
        size_t headers = 0, header_count = 0;
        rd_kafka_headers_t *list = NULL;
        const char *name;
        const void *content;
        size_t length;
        if (rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR) {
                while (rd_kafka_header_get_all(list, header_count, &name, &content, &length) ==
                       RD_KAFKA_RESP_ERR_NO_ERROR) {
                        headers += 8 + strlen(name) + (content == NULL ? 0 : length);
                        header_count++;
                }
        }
        size_t bytes = key + value + headers;
        if (*count == batch->capacity)
                return SLAB_FULL;
        if (bytes > batch->size - *used) {
                if (bytes <= batch->size || *used > 0)
                        return SLAB_FULL;
                batch->status[1] = (double)bytes;
                return RECORD_TOO_LARGE;
        }
        size_t i = (*count)++;
        uint8_t *at = batch->data + *used;
        batch->topic[i]     = topic_index(consumer, message->rkt);
        batch->partition[i] = message->partition;
        batch->offset[i]    = (double)message->offset;
        rd_kafka_timestamp_type_t timestamp_type;
        int64_t timestamp      = rd_kafka_message_timestamp(message, &timestamp_type);
        batch->timestamp[i]    = timestamp_type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : (double)timestamp;
        batch->leader_epoch[i] = rd_kafka_message_leader_epoch(message);
        batch->key_start[i]    = (int32_t)*used;
        batch->key_length[i]   = message->key == NULL ? -1 : (int32_t)key;
        if (key > 0)
                memcpy(at, message->key, key);
        batch->value_start[i]  = (int32_t)(*used + key);
        batch->value_length[i] = message->payload == NULL ? -1 : (int32_t)value;
        if (value > 0)
                memcpy(at + key, message->payload, value);
        batch->headers_start[i]  = (int32_t)(*used + key + value);
        batch->headers_length[i] = (int32_t)headers;
        batch->headers_count[i]  = (int32_t)header_count;
        at += key + value;
        for (size_t h = 0; h < header_count; h++) {
                rd_kafka_header_get_all(list, h, &name, &content, &length);
                size_t name_length = strlen(name);
                write_int32(at, (int32_t)name_length);
                write_int32(at + 4, content == NULL ? -1 : (int32_t)length);
                memcpy(at + 8, name, name_length);
                at += 8 + name_length;
                if (content != NULL) {
                        memcpy(at, content, length);
                        at += length;
                }
        }
        *used += bytes;
        return PLACED;
}

/* poll(consumer, batch) => records, or -1 when one record needs a larger slab (status[1] bytes) */
static napi_value consumer_poll(napi_env env, napi_callback_info info) {
        size_t argument_count = 2, count = 0, used = 0;
        napi_value arguments[2];
        struct batch *batch = NULL;
        napi_get_cb_info(env, info, &argument_count, arguments, NULL, NULL);
        struct consumer *consumer = consumer_of(env, arguments[0], "poll");
        if (consumer == NULL)
                return NULL;
        if (napi_get_value_external(env, arguments[1], (void **)&batch) != napi_ok)
                return throw_argument(env, "poll", "not a bound batch");
        batch->status[0] = 0;
        if (consumer->seeks > 0)
                return number_of(env, 0);

        enum placed state = PLACED;
        size_t left       = 0;
        for (size_t i = 0; i < consumer->kept_count; i++) {
                rd_kafka_message_t *message = consumer->kept[i];
                if (state == PLACED && !is_paused(consumer, message)) {
                        state = place(consumer, batch, message, &count, &used);
                        if (state == PLACED) {
                                rd_kafka_message_destroy(message);
                                continue;
                        }
                }
                consumer->kept[left++] = message;
        }
        consumer->kept_count = left;

        /*
         * One message at a time, because rd_kafka_consume_batch_queue counts an end-of-partition event at offset N as a
         * message: librdkafka's own position becomes N + 1, and the next pause and resume (every cooperative rebalance
         * does both) skips the record that comes to stand at N, or asks for an offset that is not there yet.
         */
        while (state == PLACED && count < batch->capacity) {
                rd_kafka_message_t *message = rd_kafka_consume_queue(consumer->queue, 0);
                if (message == NULL)
                        break;
                state = place(consumer, batch, message, &count, &used);
                if (state == PLACED)
                        rd_kafka_message_destroy(message);
                else
                        keep(consumer, message);
        }
        batch->status[0] = (double)used;
        return number_of(env, state == RECORD_TOO_LARGE && count == 0 ? -1 : (double)count);
}

/* ready(consumer) => whether a poll or takeEvents would find something */
static napi_value consumer_ready(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value handle, value;
        napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
        struct consumer *consumer = consumer_of(env, handle, "wait");
        if (consumer == NULL)
                return NULL;
        bool ready = events_waiting(&consumer->client.events);
        if (!ready && consumer->seeks == 0) {
                ready = rd_kafka_queue_length(consumer->queue) > 0;
                for (size_t i = 0; i < consumer->kept_count && !ready; i++)
                        ready = !is_paused(consumer, consumer->kept[i]);
        }
        napi_get_boolean(env, ready, &value);
        return value;
}

static void batch_free(napi_env env, void *data, void *hint) {
        (void)env;
        (void)hint;
        free(data);
}

/*
 * bindBatch(slab, status, topic, partition, offset, timestamp, leaderEpoch, keyStart, keyLength, valueStart,
 * valueLength, headersStart, headersLength, headersCount) => external. The caller keeps the arrays alive while
 * it polls with it.
 */
static napi_value bind_batch(napi_env env, napi_callback_info info) {
        size_t count = 14, status_length = 0;
        napi_value arguments[14], external;
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct batch *batch = calloc(1, sizeof(*batch));
        struct {
                void **pointer;
                napi_typedarray_type type;
        } columns[] = {
            {(void **)&batch->topic, napi_int32_array},          {(void **)&batch->partition, napi_int32_array},
            {(void **)&batch->offset, napi_float64_array},       {(void **)&batch->timestamp, napi_float64_array},
            {(void **)&batch->leader_epoch, napi_int32_array},   {(void **)&batch->key_start, napi_int32_array},
            {(void **)&batch->key_length, napi_int32_array},     {(void **)&batch->value_start, napi_int32_array},
            {(void **)&batch->value_length, napi_int32_array},   {(void **)&batch->headers_start, napi_int32_array},
            {(void **)&batch->headers_length, napi_int32_array}, {(void **)&batch->headers_count, napi_int32_array},
        };
        bool valid = count == 14 && napi_get_buffer_info(env, arguments[0], (void **)&batch->data, &batch->size) ==
                                        napi_ok;
        batch->status   = typed_array_of(env, arguments[1], napi_float64_array, &status_length);
        valid           = valid && batch->size <= INT32_MAX && batch->status != NULL && status_length == 2;
        batch->capacity = SIZE_MAX;
        for (size_t i = 0; i < 12 && valid; i++) {
                size_t length       = 0;
                *columns[i].pointer = typed_array_of(env, arguments[2 + i], columns[i].type, &length);
                valid               = *columns[i].pointer != NULL && length > 0;
                if (length < batch->capacity)
                        batch->capacity = length;
        }
        if (!valid) {
                free(batch);
                return throw_argument(env, "poll", "not a record batch: every column needs a length, the slab at most 2 GiB");
        }
        napi_create_external(env, batch, batch_free, NULL, &external);
        return external;
}

/* ---------------------------------------------------------------- assignment and positions */

typedef bool (*partition_call)(struct consumer *consumer, rd_kafka_topic_partition_list_t *list,
                               struct failure *failure);

static bool call_subscribe(struct consumer *consumer, rd_kafka_topic_partition_list_t *list, struct failure *failure) {
        rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer->client.rk, list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
                failure_set(failure, consumer->client.rk, code, "%s", rd_kafka_err2str(code));
        return !failure->failed;
}

static bool call_incremental_assign(struct consumer *consumer, rd_kafka_topic_partition_list_t *list,
                                    struct failure *failure) {
        if (failure_take(failure, consumer->client.rk, rd_kafka_incremental_assign(consumer->client.rk, list)))
                return false;
        unanswered_clear(consumer);
        return true;
}

static bool call_incremental_unassign(struct consumer *consumer, rd_kafka_topic_partition_list_t *list,
                                      struct failure *failure) {
        if (failure_take(failure, consumer->client.rk, rd_kafka_incremental_unassign(consumer->client.rk, list)))
                return false;
        drop_kept(consumer, list);
        for (int i = 0; i < list->cnt; i++)
                rd_kafka_topic_partition_list_del(consumer->paused, list->elems[i].topic, list->elems[i].partition);
        unanswered_clear(consumer);
        return true;
}

static bool call_assign(struct consumer *consumer, rd_kafka_topic_partition_list_t *list, struct failure *failure) {
        /* librdkafka wants NULL, not an empty list, to give everything up. */
        rd_kafka_resp_err_t code = rd_kafka_assign(consumer->client.rk, list->cnt == 0 ? NULL : list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                failure_set(failure, consumer->client.rk, code, "%s", rd_kafka_err2str(code));
                return false;
        }
        drop_kept(consumer, NULL);
        rd_kafka_topic_partition_list_destroy(consumer->paused);
        consumer->paused = rd_kafka_topic_partition_list_new(1);
        unanswered_clear(consumer);
        return true;
}

static bool call_pause(struct consumer *consumer, rd_kafka_topic_partition_list_t *list, struct failure *failure) {
        rd_kafka_resp_err_t code = rd_kafka_pause_partitions(consumer->client.rk, list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
                failure_set(failure, consumer->client.rk, code, "%s", rd_kafka_err2str(code));
        else
                failure_of_partitions(failure, consumer->client.rk, list);
        for (int i = 0; i < list->cnt; i++) {
                const rd_kafka_topic_partition_t *entry = &list->elems[i];
                if (entry->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                    rd_kafka_topic_partition_list_find(consumer->paused, entry->topic, entry->partition) == NULL)
                        rd_kafka_topic_partition_list_add(consumer->paused, entry->topic, entry->partition);
        }
        return !failure->failed;
}

static bool call_resume(struct consumer *consumer, rd_kafka_topic_partition_list_t *list, struct failure *failure) {
        rd_kafka_resp_err_t code = rd_kafka_resume_partitions(consumer->client.rk, list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
                failure_set(failure, consumer->client.rk, code, "%s", rd_kafka_err2str(code));
        else
                failure_of_partitions(failure, consumer->client.rk, list);
        for (int i = 0; i < list->cnt; i++)
                rd_kafka_topic_partition_list_del(consumer->paused, list->elems[i].topic, list->elems[i].partition);
        return !failure->failed;
}

static napi_value with_partitions(napi_env env, napi_callback_info info, const char *operation, partition_call call) {
        size_t count = 4;
        napi_value arguments[4];
        struct failure failure                = {0};
        rd_kafka_topic_partition_list_t *list = NULL;
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct consumer *consumer = consumer_of(env, arguments[0], operation);
        if (consumer == NULL ||
            !partitions_read(env, operation, arguments[1], arguments[2], arguments[3], NULL, &list))
                return NULL;
        bool done = call(consumer, list, &failure);
        rd_kafka_topic_partition_list_destroy(list);
        return done ? NULL : throw_failure(env, operation, &failure);
}

static napi_value consumer_subscribe(napi_env env, napi_callback_info info) {
        return with_partitions(env, info, "subscribe", call_subscribe);
}
static napi_value consumer_incremental_assign(napi_env env, napi_callback_info info) {
        return with_partitions(env, info, "incrementalAssign", call_incremental_assign);
}
static napi_value consumer_incremental_unassign(napi_env env, napi_callback_info info) {
        return with_partitions(env, info, "incrementalUnassign", call_incremental_unassign);
}
static napi_value consumer_assign(napi_env env, napi_callback_info info) {
        return with_partitions(env, info, "assign", call_assign);
}
static napi_value consumer_pause(napi_env env, napi_callback_info info) {
        return with_partitions(env, info, "pause", call_pause);
}
static napi_value consumer_resume(napi_env env, napi_callback_info info) {
        return with_partitions(env, info, "resume", call_resume);
}

static napi_value consumer_assignment(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value handle;
        struct failure failure;
        rd_kafka_topic_partition_list_t *list = NULL;
        napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
        struct consumer *consumer = consumer_of(env, handle, "assignment");
        if (consumer == NULL)
                return NULL;
        rd_kafka_resp_err_t code = rd_kafka_assignment(consumer->client.rk, &list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                failure_set(&failure, consumer->client.rk, code, "%s", rd_kafka_err2str(code));
                return throw_failure(env, "assignment", &failure);
        }
        napi_value result = partitions_create(env, list);
        rd_kafka_topic_partition_list_destroy(list);
        return result;
}

static napi_value consumer_group_metadata(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value handle, object;
        napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
        struct consumer *consumer = consumer_of(env, handle, "groupMetadata");
        if (consumer == NULL)
                return NULL;
        rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(consumer->client.rk);
        napi_create_object(env, &object);
        set_named(env, object, "memberId",
                  string_of(env, group == NULL ? "" : rd_kafka_consumer_group_metadata_member_id(group)));
        set_named(env, object, "generationId",
                  number_of(env, group == NULL ? -1 : rd_kafka_consumer_group_metadata_generation_id(group)));
        if (group != NULL)
                rd_kafka_consumer_group_metadata_destroy(group);
        return object;
}

static napi_value consumer_take_events(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value handle;
        napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
        struct consumer *consumer = consumer_of(env, handle, "takeEvents");
        return consumer == NULL ? NULL : events_take(env, &consumer->client.events);
}

/* topicName(consumer, index) */
static napi_value consumer_topic_name(napi_env env, napi_callback_info info) {
        size_t count = 2;
        napi_value arguments[2];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct consumer *consumer = consumer_of(env, arguments[0], "topicName");
        if (consumer == NULL)
                return NULL;
        int index = int_of(env, arguments[1], -1);
        if (index < 0 || index >= consumer->topic_count)
                return throw_argument(env, "topicName", "no topic has this index");
        return string_of(env, consumer->topics[index]);
}

/* ---------------------------------------------------------------- jobs */

/* Partitions that were assigned a moment ago may not fetch yet, and then refuse to seek: try again. Worker. */
static void run_seek(struct job *job) {
        rd_kafka_t *rk   = job->client->rk;
        int64_t deadline = now_ms() + job->timeout_ms;
        rd_kafka_topic_partition_list_t *open = rd_kafka_topic_partition_list_copy(job->partitions);
        while (open->cnt > 0) {
                int slice = slice_of(deadline);
                struct failure failure = {0};
                rd_kafka_topic_partition_list_t *assigned = NULL, *again;
                if (!failure_take(&failure, rk, rd_kafka_seek_partitions(rk, open, slice < 1 ? 1 : slice)))
                        failure_of_partitions(&failure, rk, open);
                if (!failure.failed)
                        break;
                again = rd_kafka_topic_partition_list_new(open->cnt);
                rd_kafka_assignment(rk, &assigned);
                bool all_assigned = true;
                for (int i = 0; i < open->cnt; i++) {
                        const rd_kafka_topic_partition_t *entry = &open->elems[i];
                        if (entry->err == RD_KAFKA_RESP_ERR_NO_ERROR)
                                continue;
                        rd_kafka_topic_partition_list_add(again, entry->topic, entry->partition)->offset =
                            entry->offset;
                        if (assigned == NULL || rd_kafka_topic_partition_list_find(assigned, entry->topic,
                                                                                   entry->partition) == NULL)
                                all_assigned = false;
                }
                if (assigned != NULL)
                        rd_kafka_topic_partition_list_destroy(assigned);
                rd_kafka_topic_partition_list_destroy(open);
                open = again;
                if (!all_assigned || now_ms() >= deadline || job_stopping(job)) {
                        job->failure = failure;
                        break;
                }
                struct timespec pause = {0, 5 * 1000 * 1000};
                nanosleep(&pause, NULL);
        }
        rd_kafka_topic_partition_list_destroy(open);
}

static void settled_seek(struct job *job) {
        struct consumer *consumer = (struct consumer *)job->client;
        consumer->seeks--;
        /* Nothing was polled while the seek ran, so all that is kept of these partitions is older than it. */
        drop_kept(consumer, job->partitions);
        waker_wake(&consumer->client.waker);
}

/* Offsets of pending transactions make the group coordinator answer "unstable": ask again. Worker. */
static void run_committed(struct job *job) {
        rd_kafka_t *rk   = job->client->rk;
        int64_t deadline = now_ms() + job->timeout_ms;
        for (;;) {
                int64_t left             = deadline - now_ms();
                rd_kafka_resp_err_t code = rd_kafka_committed(rk, job->partitions, left < 1 ? 1 : (int)left);
                memset(&job->failure, 0, sizeof(job->failure));
                if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
                        failure_set(&job->failure, rk, code, "%s", rd_kafka_err2str(code));
                else
                        failure_of_partitions(&job->failure, rk, job->partitions);
                if (job->failure.code != RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT || now_ms() >= deadline ||
                    job_stopping(job))
                        return;
                struct timespec pause = {0, 20 * 1000 * 1000};
                nanosleep(&pause, NULL);
        }
}

/* Worker. */
static void run_commit(struct job *job) {
        rd_kafka_t *rk           = job->client->rk;
        rd_kafka_resp_err_t code = rd_kafka_commit(rk, job->partitions, 0);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
                failure_set(&job->failure, rk, code, "%s", rd_kafka_err2str(code));
        else
                failure_of_partitions(&job->failure, rk, job->partitions);
}

/* Worker. */
static void run_offsets_for_times(struct job *job) {
        rd_kafka_t *rk           = job->client->rk;
        rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, job->partitions, job->timeout_ms);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
                failure_set(&job->failure, rk, code, "%s", rd_kafka_err2str(code));
        else
                failure_of_partitions(&job->failure, rk, job->partitions);
}

/* Asks for one end of the logs; answers come back in the list's offsets. Worker. */
static void list_offsets(struct job *job, rd_kafka_topic_partition_list_t *list, rd_kafka_OffsetSpec_t end,
                         int64_t deadline) {
        char reason[256];
        rd_kafka_t *rk                   = job->client->rk;
        rd_kafka_queue_t *queue          = rd_kafka_queue_new(rk);
        rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_LISTOFFSETS);
        rd_kafka_error_t *error          = rd_kafka_AdminOptions_set_isolation_level(options, job->isolation);
        if (error != NULL)
                rd_kafka_error_destroy(error);
        int64_t left = deadline - now_ms();
        rd_kafka_AdminOptions_set_request_timeout(options, left < 1 ? 1 : (int)left, reason, sizeof(reason));
        for (int i = 0; i < list->cnt; i++)
                list->elems[i].offset = end;
        rd_kafka_ListOffsets(rk, list, options, queue);
        rd_kafka_event_t *event = NULL;
        while (event == NULL && now_ms() < deadline + 200 && !job_stopping(job))
                event = rd_kafka_queue_poll(queue, 200);
        if (event == NULL) {
                failure_set(&job->failure, rk, RD_KAFKA_RESP_ERR__TIMED_OUT, "no answer in %d ms", job->timeout_ms);
        } else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
                failure_set(&job->failure, rk, rd_kafka_event_error(event), "%s", rd_kafka_event_error_string(event));
        } else {
                size_t count = 0;
                const rd_kafka_ListOffsetsResultInfo_t **infos =
                    rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event), &count);
                for (int i = 0; i < list->cnt; i++) {
                        list->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
                        list->elems[i].err    = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
                }
                for (size_t i = 0; i < count; i++) {
                        const rd_kafka_topic_partition_t *found =
                            rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
                        rd_kafka_topic_partition_t *entry =
                            rd_kafka_topic_partition_list_find(list, found->topic, found->partition);
                        if (entry != NULL) {
                                entry->offset = found->offset;
                                entry->err    = found->err;
                        }
                }
                failure_of_partitions(&job->failure, rk, list);
        }
        if (event != NULL)
                rd_kafka_event_destroy(event);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
}

/* Worker. */
static void run_watermarks(struct job *job) {
        int64_t deadline = now_ms() + job->timeout_ms;
        if (job->partitions->cnt == 0)
                return;
        list_offsets(job, job->log_starts, RD_KAFKA_OFFSET_SPEC_EARLIEST, deadline);
        if (!job->failure.failed)
                list_offsets(job, job->partitions, RD_KAFKA_OFFSET_SPEC_LATEST, deadline);
}

static napi_value result_watermarks(napi_env env, const struct job *job) {
        napi_value array;
        napi_create_array(env, &array);
        for (int i = 0; i < job->partitions->cnt; i++) {
                const rd_kafka_topic_partition_t *entry = &job->partitions->elems[i];
                napi_value object;
                napi_create_object(env, &object);
                set_named(env, object, "topic", string_of(env, entry->topic));
                set_named(env, object, "partition", number_of(env, entry->partition));
                set_named(env, object, "low", number_of(env, (double)job->log_starts->elems[i].offset));
                set_named(env, object, "high", number_of(env, (double)entry->offset));
                napi_set_element(env, array, (uint32_t)i, object);
        }
        return array;
}

static napi_value result_partitions(napi_env env, const struct job *job) {
        return partitions_create(env, job->partitions);
}

/* name(consumer, topics, partitions, offsets, metadata, timeoutMs, isolation) */
static napi_value partitions_job(napi_env env, napi_callback_info info, const char *operation,
                                 void (*run)(struct job *), napi_value (*result)(napi_env, const struct job *)) {
        size_t count = 7;
        napi_value arguments[7];
        rd_kafka_topic_partition_list_t *list = NULL;
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct consumer *consumer = consumer_of(env, arguments[0], operation);
        if (consumer == NULL || !partitions_read(env, operation, arguments[1], arguments[2], arguments[3],
                                                 arguments[4], &list))
                return NULL;
        struct job *job = job_new(&consumer->client, operation, run);
        job->partitions = list;
        job->timeout_ms = int_of(env, arguments[5], 0);
        job->isolation  = int_of(env, arguments[6], 0) != 0 ? RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
                                                            : RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
        job->result     = result;
        if (run == run_watermarks)
                job->log_starts = rd_kafka_topic_partition_list_copy(list);
        if (run == run_seek) {
                job->settled = settled_seek;
                consumer->seeks++;
        }
        return job_start(env, arguments[0], job, false);
}

static napi_value consumer_seek(napi_env env, napi_callback_info info) {
        return partitions_job(env, info, "seek", run_seek, NULL);
}
static napi_value consumer_committed(napi_env env, napi_callback_info info) {
        return partitions_job(env, info, "committed", run_committed, result_partitions);
}
static napi_value consumer_commit(napi_env env, napi_callback_info info) {
        return partitions_job(env, info, "commit", run_commit, NULL);
}
static napi_value consumer_offsets_for_times(napi_env env, napi_callback_info info) {
        return partitions_job(env, info, "offsetsForTimes", run_offsets_for_times, result_partitions);
}
static napi_value consumer_watermarks(napi_env env, napi_callback_info info) {
        return partitions_job(env, info, "watermarks", run_watermarks, result_watermarks);
}

/* partitionCounts(consumer, topics, timeoutMs) */
static napi_value consumer_partition_counts(napi_env env, napi_callback_info info) {
        size_t count = 3;
        napi_value arguments[3];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct consumer *consumer = consumer_of(env, arguments[0], "partitionCounts");
        if (consumer == NULL)
                return NULL;
        struct job *job = job_new(&consumer->client, "partitionCounts", run_partition_counts);
        if (!names_read(env, arguments[1], &job->names, &job->name_count)) {
                free(job);
                return throw_argument(env, "partitionCounts", "the topics are not a list of texts");
        }
        job->timeout_ms = int_of(env, arguments[2], 0);
        job->result     = result_partition_counts;
        return job_start(env, arguments[0], job, false);
}

/* ---------------------------------------------------------------- life */

/* Leaves the group and frees everything. Any thread; blocks. */
static void consumer_discard(struct client *client) {
        struct consumer *consumer = (struct consumer *)client;
        drop_kept(consumer, NULL);
        free(consumer->kept);
        consumer->kept = NULL;
        if (consumer->unanswered != NULL)
                rebalance_answer(client->rk, consumer->unanswered_assign, consumer->unanswered);
        unanswered_clear(consumer);
        rd_kafka_queue_cb_event_enable(consumer->queue, NULL, NULL);
        rd_kafka_consumer_close(client->rk);
        rd_kafka_queue_destroy(consumer->queue);
        rd_kafka_destroy(client->rk);
        rd_kafka_topic_partition_list_destroy(consumer->paused);
        names_free(consumer->topics, (size_t)consumer->topic_count);
        free(consumer->topic_handles);
}

static void run_close(struct job *job) {
        consumer_discard(job->client);
}

static void settled_close(struct job *job) {
        waker_stop(&job->client->waker);
        client_release(job->client);
}

static napi_value consumer_close(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value handle;
        napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
        struct consumer *consumer = consumer_of(env, handle, "close");
        if (consumer == NULL)
                return NULL;
        struct job *job = job_new(&consumer->client, "close", run_close);
        job->settled    = settled_close;
        return job_start(env, handle, job, true);
}

/* createConsumer(configuration, onWake) => handle */
static napi_value create_consumer(napi_env env, napi_callback_info info) {
        size_t count = 2;
        napi_value arguments[2];
        char reason[400];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        rd_kafka_conf_t *conf = configuration_read(env, arguments[0], "createConsumer");
        if (conf == NULL)
                return NULL;
        struct consumer *consumer = calloc(1, sizeof(*consumer));
        consumer->client.discard  = consumer_discard;
        if (!client_prepare(env, &consumer->client, arguments[1])) {
                rd_kafka_conf_destroy(conf);
                free(consumer);
                return throw_argument(env, "createConsumer", "onWake must be a function");
        }
        rd_kafka_conf_set_opaque(conf, consumer);
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
        rd_kafka_conf_set_error_cb(conf, on_error);
        rd_kafka_conf_set_stats_cb(conf, on_statistics);
        client_configure_logging(conf);
        consumer->client.rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
        if (consumer->client.rk == NULL) {
                rd_kafka_conf_destroy(conf);
                waker_stop(&consumer->client.waker);
                client_release(&consumer->client);
                free(consumer);
                return throw_argument(env, "createConsumer", reason);
        }
        rd_kafka_poll_set_consumer(consumer->client.rk);
        consumer->paused = rd_kafka_topic_partition_list_new(1);
        consumer->queue  = rd_kafka_queue_get_consumer(consumer->client.rk);
        if (consumer->queue == NULL) {
                rd_kafka_destroy(consumer->client.rk);
                waker_stop(&consumer->client.waker);
                client_release(&consumer->client);
                free(consumer);
                return throw_argument(env, "createConsumer", "group.id is required");
        }
        rd_kafka_queue_cb_event_enable(consumer->queue, on_queue, consumer);
        return client_wrap(env, &consumer->client, &CONSUMER_TAG);
}

/* The metadata that fences this consumer's offsets, for the producer; NULL after throwing. */
rd_kafka_consumer_group_metadata_t *consumer_group_of(napi_env env, napi_value handle, const char *operation) {
        struct consumer *consumer = consumer_of(env, handle, operation);
        return consumer == NULL ? NULL : rd_kafka_consumer_group_metadata(consumer->client.rk);
}

napi_value consumer_exports(napi_env env, napi_value exports) {
        EXPORT_FUNCTION(env, exports, "createConsumer", create_consumer);
        EXPORT_FUNCTION(env, exports, "bindBatch", bind_batch);
        EXPORT_FUNCTION(env, exports, "poll", consumer_poll);
        EXPORT_FUNCTION(env, exports, "ready", consumer_ready);
        EXPORT_FUNCTION(env, exports, "consumerEvents", consumer_take_events);
        EXPORT_FUNCTION(env, exports, "topicName", consumer_topic_name);
        EXPORT_FUNCTION(env, exports, "subscribe", consumer_subscribe);
        EXPORT_FUNCTION(env, exports, "incrementalAssign", consumer_incremental_assign);
        EXPORT_FUNCTION(env, exports, "incrementalUnassign", consumer_incremental_unassign);
        EXPORT_FUNCTION(env, exports, "assign", consumer_assign);
        EXPORT_FUNCTION(env, exports, "assignment", consumer_assignment);
        EXPORT_FUNCTION(env, exports, "pause", consumer_pause);
        EXPORT_FUNCTION(env, exports, "resume", consumer_resume);
        EXPORT_FUNCTION(env, exports, "seek", consumer_seek);
        EXPORT_FUNCTION(env, exports, "committed", consumer_committed);
        EXPORT_FUNCTION(env, exports, "commit", consumer_commit);
        EXPORT_FUNCTION(env, exports, "watermarks", consumer_watermarks);
        EXPORT_FUNCTION(env, exports, "offsetsForTimes", consumer_offsets_for_times);
        EXPORT_FUNCTION(env, exports, "partitionCounts", consumer_partition_counts);
        EXPORT_FUNCTION(env, exports, "groupMetadata", consumer_group_metadata);
        EXPORT_FUNCTION(env, exports, "closeConsumer", consumer_close);
        return exports;
}
