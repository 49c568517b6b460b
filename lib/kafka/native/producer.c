/*
 * The producer's mechanics: packed hand-over, transactions, and delivery reports.
 *
 * Delivery reports are events on librdkafka's background thread, so acknowledgements progress whatever the
 * JavaScript thread does; what they leave behind (highest acknowledged offsets, the first error) is in C memory
 * under a lock.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const napi_type_tag PRODUCER_TAG = {0x6b61666b612d7072ULL, 0x6f64756365722d31ULL};

rd_kafka_consumer_group_metadata_t *consumer_group_of(napi_env env, napi_value handle, const char *operation);

struct topic {
        char *name;
        rd_kafka_topic_t *handle;
        int64_t *acknowledged; /* by partition; -1 none. Under the producer's lock */
        int32_t partitions;
};

struct producer {
        struct client client; /* first */
        bool transactional;
        atomic_bool in_transaction;
        struct topic **topics; /* stable addresses: messages carry them */
        int topic_count;
        pthread_mutex_t lock;
        struct failure delivery_failure; /* the first since the last flush */
        atomic_bool waiting_for_room;
};

static struct producer *producer_of(napi_env env, napi_value handle, const char *operation) {
        return (struct producer *)client_of(env, handle, &PRODUCER_TAG, operation);
}

/* ---------------------------------------------------------------- delivery reports */

static void acknowledge(struct topic *topic, int32_t partition, int64_t offset) {
        if (partition < 0 || offset < 0)
                return;
        if (partition >= topic->partitions) {
                int32_t wider = partition < 16 ? 16 : partition * 2;
                topic->acknowledged = realloc(topic->acknowledged, (size_t)wider * sizeof(*topic->acknowledged));
                for (int32_t i = topic->partitions; i < wider; i++)
                        topic->acknowledged[i] = -1;
                topic->partitions = wider;
        }
        if (offset > topic->acknowledged[partition])
                topic->acknowledged[partition] = offset;
}

/* The background thread. */
static void on_delivery(struct producer *producer, rd_kafka_event_t *event) {
        const rd_kafka_message_t *message;
        pthread_mutex_lock(&producer->lock);
        while ((message = rd_kafka_event_message_next(event)) != NULL) {
                struct topic *topic = message->_private;
                if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                        acknowledge(topic, message->partition, message->offset);
                } else if (message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
                           message->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT &&
                           !producer->delivery_failure.failed) {
                        failure_set(&producer->delivery_failure, producer->client.rk, message->err,
                                    "delivery to %s [%d] failed: %s", topic->name, (int)message->partition,
                                    rd_kafka_err2str(message->err));
                        producer->delivery_failure.retriable = false;
                        producer->delivery_failure.abortable =
                            producer->transactional && !producer->delivery_failure.fatal;
                }
        }
        pthread_mutex_unlock(&producer->lock);
}

/* The background thread. */
static void on_event(rd_kafka_t *rk, rd_kafka_event_t *event, void *opaque) {
        struct producer *producer = opaque;
        bool delivered            = false;
        (void)rk;
        switch (rd_kafka_event_type(event)) {
        case RD_KAFKA_EVENT_DR:
                on_delivery(producer, event);
                delivered = true;
                break;
        case RD_KAFKA_EVENT_ERROR:
                events_push_error(&producer->client, rd_kafka_event_error(event), rd_kafka_event_error_string(event),
                                  NULL, -1);
                break;
        case RD_KAFKA_EVENT_STATS: {
                struct event *statistics = event_new(EVENT_STATISTICS);
                statistics->text         = strdup(rd_kafka_event_stats(event));
                events_push(&producer->client.events, statistics);
                break;
        }
        default:
                break;
        }
        rd_kafka_event_destroy(event); /* makes room in the queue */
        if (delivered && atomic_exchange(&producer->waiting_for_room, false))
                waker_wake(&producer->client.waker);
}

/* ---------------------------------------------------------------- hand-over */

/* topicId(producer, name) => number, for produce's topic map */
static napi_value producer_topic_id(napi_env env, napi_callback_info info) {
        size_t count = 2;
        napi_value arguments[2];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct producer *producer = producer_of(env, arguments[0], "produce");
        if (producer == NULL)
                return NULL;
        char *name = text_of(env, arguments[1]);
        if (name == NULL || name[0] == '\0') {
                free(name);
                return throw_argument(env, "produce", "a topic name must be a text that is not empty");
        }
        for (int i = 0; i < producer->topic_count; i++) {
                if (strcmp(producer->topics[i]->name, name) == 0) {
                        free(name);
                        return number_of(env, i);
                }
        }
        rd_kafka_topic_t *handle = rd_kafka_topic_new(producer->client.rk, name, NULL);
        if (handle == NULL) {
                struct failure failure;
                failure_set(&failure, producer->client.rk, rd_kafka_last_error(), "topic %s: %s", name,
                            rd_kafka_err2str(rd_kafka_last_error()));
                free(name);
                return throw_failure(env, "produce", &failure);
        }
        struct topic *topic = calloc(1, sizeof(*topic));
        topic->name         = name;
        topic->handle       = handle;
        producer->topics = realloc(producer->topics, (size_t)(producer->topic_count + 1) * sizeof(*producer->topics));
        producer->topics[producer->topic_count] = topic;
        return number_of(env, producer->topic_count++);
}

struct source {
        uint8_t *data;
        size_t size;
};

/* An OutgoingBatch as C sees it. */
struct outgoing {
        const int32_t *topic_map;
        size_t topic_map_length;
        struct source *sources;
        uint32_t source_count;
        const int32_t *topic, *partition;
        const double *timestamp;
        const int32_t *key_source, *key_start, *key_length;
        const int32_t *value_source, *value_start, *value_length;
        const int32_t *headers_source, *headers_start, *headers_length, *headers_count;
};

/* The bytes of a range, or NULL when it is not inside its source. */
static uint8_t *range_of(const struct outgoing *batch, int32_t source, int32_t start, int32_t length) {
        if (source < 0 || (uint32_t)source >= batch->source_count || start < 0 || length < 0 ||
            (size_t)start + (size_t)length > batch->sources[source].size)
                return NULL;
        static uint8_t nothing;
        return length == 0 ? &nothing : batch->sources[source].data + start;
}

static int32_t read_int32(const uint8_t *at) {
        return (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
}

/* A header block as librdkafka's list; NULL when the block does not hold exactly `count` headers. */
static rd_kafka_headers_t *headers_read(const uint8_t *block, int32_t length, int32_t count) {
        if (count < 0 || count > length / 8)
                return NULL;
        rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)count);
        int64_t at                  = 0;
        static const char nothing;
        for (int32_t i = 0; i < count; i++) {
                if (length - at < 8)
                        goto invalid;
                int64_t name_length  = read_int32(block + at);
                int64_t value_length = read_int32(block + at + 4);
                at += 8;
                if (name_length < 0 || value_length < -1 ||
                    name_length + (value_length < 0 ? 0 : value_length) > length - at)
                        goto invalid;
                const char *name  = (const char *)block + at;
                const void *value = value_length < 0 ? NULL : value_length == 0 ? &nothing : name + name_length;
                rd_kafka_header_add(headers, name_length == 0 ? &nothing : name, (ssize_t)name_length, value,
                                    value_length < 0 ? 0 : (ssize_t)value_length);
                at += name_length + (value_length < 0 ? 0 : value_length);
        }
        if (at == length)
                return headers;
invalid:
        rd_kafka_headers_destroy(headers);
        return NULL;
}

enum handed { HANDED, QUEUE_FULL, REFUSED };

static enum handed refuse_position(struct failure *failure, size_t i, const char *what) {
        failure_set(failure, NULL, RD_KAFKA_RESP_ERR__INVALID_ARG, "record %zu: %s", i, what);
        return REFUSED;
}

static enum handed hand_over(struct producer *producer, const struct outgoing *batch, size_t i,
                             struct failure *failure) {
        uint8_t *key = NULL, *value = NULL;
        rd_kafka_headers_t *headers = NULL;
        int32_t topic_index         = batch->topic[i];
        if (topic_index < 0 || (size_t)topic_index >= batch->topic_map_length ||
            batch->topic_map[topic_index] < 0 || batch->topic_map[topic_index] >= producer->topic_count)
                return refuse_position(failure, i, "the topic's index is not one of the batch's topics");
        struct topic *topic = producer->topics[batch->topic_map[topic_index]];
        if (batch->partition[i] < -1)
                return refuse_position(failure, i, "the partition is negative");
        if (!(batch->timestamp[i] >= 0 && batch->timestamp[i] < 9007199254740992.0))
                return refuse_position(failure, i, "the timestamp is not a time in epoch milliseconds");
        if (batch->key_length[i] != -1) {
                key = range_of(batch, batch->key_source[i], batch->key_start[i], batch->key_length[i]);
                if (key == NULL)
                        return refuse_position(failure, i, "the key's position is outside its source");
        }
        if (batch->value_length[i] != -1) {
                value = range_of(batch, batch->value_source[i], batch->value_start[i], batch->value_length[i]);
                if (value == NULL)
                        return refuse_position(failure, i, "the value's position is outside its source");
        }
        if (batch->headers_count[i] != 0 || batch->headers_length[i] != 0) {
                uint8_t *block =
                    range_of(batch, batch->headers_source[i], batch->headers_start[i], batch->headers_length[i]);
                if (block == NULL)
                        return refuse_position(failure, i, "the headers' position is outside their source");
                headers = headers_read(block, batch->headers_length[i], batch->headers_count[i]);
                if (headers == NULL)
                        return refuse_position(failure, i, "the header block does not hold the headers it counts");
        }
        rd_kafka_vu_t values[8] = {
            {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic->handle},
            {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = batch->partition[i]},
            {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
            {.vtype = RD_KAFKA_VTYPE_KEY,
             .u.mem = {.ptr = key, .size = key == NULL ? 0 : (size_t)batch->key_length[i]}},
            {.vtype = RD_KAFKA_VTYPE_VALUE,
             .u.mem = {.ptr = value, .size = value == NULL ? 0 : (size_t)batch->value_length[i]}},
            {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = (int64_t)batch->timestamp[i]},
            {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = topic},
            {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        };
        rd_kafka_error_t *error = rd_kafka_produceva(producer->client.rk, values, headers == NULL ? 7 : 8);
        if (error == NULL)
                return HANDED; /* and the headers are librdkafka's now */
        if (headers != NULL)
                rd_kafka_headers_destroy(headers);
        if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                rd_kafka_error_destroy(error);
                return QUEUE_FULL;
        }
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        failure_take(failure, producer->client.rk, error);
        if (code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__FENCED)
                failure->fatal = true;
        char reason[400];
        snprintf(reason, sizeof(reason), "%s", failure->reason);
        snprintf(failure->reason, sizeof(failure->reason), "record %zu to %s: %s", i, topic->name, reason);
        return REFUSED;
}

static bool outgoing_read(napi_env env, napi_value *arguments, struct outgoing *batch, size_t count) {
        struct {
                const void **pointer;
                napi_typedarray_type type;
        } columns[] = {
            {(const void **)&batch->topic, napi_int32_array},
            {(const void **)&batch->partition, napi_int32_array},
            {(const void **)&batch->timestamp, napi_float64_array},
            {(const void **)&batch->key_source, napi_int32_array},
            {(const void **)&batch->key_start, napi_int32_array},
            {(const void **)&batch->key_length, napi_int32_array},
            {(const void **)&batch->value_source, napi_int32_array},
            {(const void **)&batch->value_start, napi_int32_array},
            {(const void **)&batch->value_length, napi_int32_array},
            {(const void **)&batch->headers_source, napi_int32_array},
            {(const void **)&batch->headers_start, napi_int32_array},
            {(const void **)&batch->headers_length, napi_int32_array},
            {(const void **)&batch->headers_count, napi_int32_array},
        };
        batch->topic_map = typed_array_of(env, arguments[0], napi_int32_array, &batch->topic_map_length);
        if (batch->topic_map == NULL || napi_get_array_length(env, arguments[2], &batch->source_count) != napi_ok)
                return false;
        for (uint32_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
                napi_value column;
                size_t length = 0;
                if (napi_get_element(env, arguments[1], i, &column) != napi_ok)
                        return false;
                *columns[i].pointer = typed_array_of(env, column, columns[i].type, &length);
                if (*columns[i].pointer == NULL || length < count)
                        return false;
        }
        batch->sources = calloc(batch->source_count + 1, sizeof(*batch->sources));
        for (uint32_t i = 0; i < batch->source_count; i++) {
                napi_value source;
                if (napi_get_element(env, arguments[2], i, &source) != napi_ok ||
                    napi_get_buffer_info(env, source, (void **)&batch->sources[i].data, &batch->sources[i].size) !=
                        napi_ok)
                        return false;
        }
        return true;
}

/*
 * produce(producer, topicMap, columns, sources, start, count) => how many of the records from `start` on were
 * handed over; fewer than asked for when the queue is full. onWake is called when there is room again. A record
 * that is refused throws only when it is the first one: those before it are reported as handed over.
 */
static napi_value producer_produce(napi_env env, napi_callback_info info) {
        size_t argument_count = 6;
        napi_value arguments[6];
        struct failure failure = {0};
        struct outgoing batch  = {0};
        napi_get_cb_info(env, info, &argument_count, arguments, NULL, NULL);
        struct producer *producer = producer_of(env, arguments[0], "produce");
        if (producer == NULL)
                return NULL;
        int start = int_of(env, arguments[4], -1);
        int count = int_of(env, arguments[5], -1);
        if (start < 0 || count < start || !outgoing_read(env, arguments + 1, &batch, (size_t)count)) {
                free(batch.sources);
                return throw_argument(env, "produce", "not an outgoing batch: a column or source is missing or too short");
        }
        int at            = start;
        enum handed state = HANDED;
        while (at < count && state == HANDED) {
                state = hand_over(producer, &batch, (size_t)at, &failure);
                if (state == QUEUE_FULL && !atomic_load(&producer->waiting_for_room)) {
                        /* Said before trying once more: a report that comes in between is not missed. */
                        atomic_store(&producer->waiting_for_room, true);
                        state = hand_over(producer, &batch, (size_t)at, &failure);
                }
                if (state == HANDED)
                        at++;
        }
        free(batch.sources);
        if (state == REFUSED && at == start)
                return throw_failure(env, "produce", &failure);
        return number_of(env, at - start);
}

/* acknowledged(producer, topic, partition) => highest acknowledged offset, or -1 */
static napi_value producer_acknowledged(napi_env env, napi_callback_info info) {
        size_t count = 3;
        napi_value arguments[3];
        int64_t offset = -1;
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct producer *producer = producer_of(env, arguments[0], "acknowledged");
        if (producer == NULL)
                return NULL;
        char *name        = text_of(env, arguments[1]);
        int32_t partition = int_of(env, arguments[2], -1);
        for (int i = 0; name != NULL && i < producer->topic_count; i++) {
                struct topic *topic = producer->topics[i];
                if (strcmp(topic->name, name) != 0)
                        continue;
                pthread_mutex_lock(&producer->lock);
                if (partition >= 0 && partition < topic->partitions)
                        offset = topic->acknowledged[partition];
                pthread_mutex_unlock(&producer->lock);
        }
        free(name);
        return number_of(env, (double)offset);
}

/* ---------------------------------------------------------------- transactions */

/* Calls until it answers, in slices: librdkafka's transactional calls go on where a timed out one stopped. Worker. */
static void until_answered(struct job *job, rd_kafka_error_t *(*call)(struct job *, int)) {
        int64_t deadline = now_ms() + job->timeout_ms;
        do {
                memset(&job->failure, 0, sizeof(job->failure));
                failure_take(&job->failure, job->client->rk, call(job, slice_of(deadline)));
        } while (job->failure.code == RD_KAFKA_RESP_ERR__TIMED_OUT && job->failure.retriable &&
                 now_ms() < deadline && !job_stopping(job));
}

static rd_kafka_error_t *call_init(struct job *job, int timeout_ms) {
        return rd_kafka_init_transactions(job->client->rk, timeout_ms);
}
static rd_kafka_error_t *call_commit(struct job *job, int timeout_ms) {
        return rd_kafka_commit_transaction(job->client->rk, timeout_ms);
}
static rd_kafka_error_t *call_abort(struct job *job, int timeout_ms) {
        return rd_kafka_abort_transaction(job->client->rk, timeout_ms);
}
static rd_kafka_error_t *call_send_offsets(struct job *job, int timeout_ms) {
        return rd_kafka_send_offsets_to_transaction(job->client->rk, job->partitions, job->group, timeout_ms);
}

static void run_init(struct job *job) {
        until_answered(job, call_init);
}
static void run_send_offsets(struct job *job) {
        until_answered(job, call_send_offsets);
}
static void run_commit(struct job *job) {
        until_answered(job, call_commit);
        if (!job->failure.failed)
                atomic_store(&((struct producer *)job->client)->in_transaction, false);
}
static void run_abort(struct job *job) {
        struct producer *producer = (struct producer *)job->client;
        until_answered(job, call_abort);
        if (job->failure.failed)
                return;
        atomic_store(&producer->in_transaction, false);
        pthread_mutex_lock(&producer->lock);
        memset(&producer->delivery_failure, 0, sizeof(producer->delivery_failure));
        pthread_mutex_unlock(&producer->lock);
}

/* Worker. */
static void run_flush(struct job *job) {
        struct producer *producer = (struct producer *)job->client;
        int64_t deadline          = now_ms() + job->timeout_ms;
        rd_kafka_resp_err_t code;
        do
                code = rd_kafka_flush(job->client->rk, slice_of(deadline));
        while (code == RD_KAFKA_RESP_ERR__TIMED_OUT && now_ms() < deadline && !job_stopping(job));
        pthread_mutex_lock(&producer->lock);
        job->failure = producer->delivery_failure;
        memset(&producer->delivery_failure, 0, sizeof(producer->delivery_failure));
        pthread_mutex_unlock(&producer->lock);
        if (!job->failure.failed && code != RD_KAFKA_RESP_ERR_NO_ERROR)
                failure_set(&job->failure, job->client->rk, code, "%d records not acknowledged in %d ms",
                            rd_kafka_outq_len(job->client->rk), job->timeout_ms);
}

/* name(producer, timeoutMs) */
static napi_value timed_job(napi_env env, napi_callback_info info, const char *operation, void (*run)(struct job *)) {
        size_t count = 2;
        napi_value arguments[2];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct producer *producer = producer_of(env, arguments[0], operation);
        if (producer == NULL)
                return NULL;
        struct job *job = job_new(&producer->client, operation, run);
        job->timeout_ms = int_of(env, arguments[1], 0);
        return job_start(env, arguments[0], job, false);
}

static napi_value producer_init_transactions(napi_env env, napi_callback_info info) {
        return timed_job(env, info, "initTransactions", run_init);
}
static napi_value producer_commit_transaction(napi_env env, napi_callback_info info) {
        return timed_job(env, info, "commitTransaction", run_commit);
}
static napi_value producer_abort_transaction(napi_env env, napi_callback_info info) {
        return timed_job(env, info, "abortTransaction", run_abort);
}
static napi_value producer_flush(napi_env env, napi_callback_info info) {
        return timed_job(env, info, "flush", run_flush);
}

static napi_value producer_begin_transaction(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value handle;
        struct failure failure;
        napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
        struct producer *producer = producer_of(env, handle, "beginTransaction");
        if (producer == NULL)
                return NULL;
        if (failure_take(&failure, producer->client.rk, rd_kafka_begin_transaction(producer->client.rk)))
                return throw_failure(env, "beginTransaction", &failure);
        atomic_store(&producer->in_transaction, true);
        return NULL;
}

/* sendOffsets(producer, topics, partitions, offsets, metadata, timeoutMs, consumer, member required) */
static napi_value producer_send_offsets(napi_env env, napi_callback_info info) {
        size_t count = 8;
        napi_value arguments[8];
        bool member                           = true;
        rd_kafka_topic_partition_list_t *list = NULL;
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct producer *producer = producer_of(env, arguments[0], "sendOffsets");
        if (producer == NULL)
                return NULL;
        rd_kafka_consumer_group_metadata_t *group = consumer_group_of(env, arguments[6], "sendOffsets");
        if (group == NULL)
                return NULL;
        napi_get_value_bool(env, arguments[7], &member);
        if (member && (rd_kafka_consumer_group_metadata_generation_id(group) < 0 ||
                       rd_kafka_consumer_group_metadata_member_id(group)[0] == '\0')) {
                /* The broker would take these offsets into the live group without a check. */
                struct failure failure;
                rd_kafka_consumer_group_metadata_destroy(group);
                failure_set(&failure, NULL, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
                            "the consumer is not a member of its group now");
                failure.abortable = true;
                return throw_failure(env, "sendOffsets", &failure);
        }
        if (!partitions_read(env, "sendOffsets", arguments[1], arguments[2], arguments[3], arguments[4], &list)) {
                rd_kafka_consumer_group_metadata_destroy(group);
                return NULL;
        }
        struct job *job = job_new(&producer->client, "sendOffsets", run_send_offsets);
        job->partitions = list;
        job->group      = group;
        job->timeout_ms = int_of(env, arguments[5], 0);
        return job_start(env, arguments[0], job, false);
}

/* partitionCount(producer, topic, timeoutMs) => [count], -1 when the topic does not exist */
static napi_value producer_partition_count(napi_env env, napi_callback_info info) {
        size_t count = 3;
        napi_value arguments[3];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct producer *producer = producer_of(env, arguments[0], "partitionCount");
        if (producer == NULL)
                return NULL;
        char *name = text_of(env, arguments[1]);
        if (name == NULL)
                return throw_argument(env, "partitionCount", "the topic is not a text");
        struct job *job = job_new(&producer->client, "partitionCount", run_partition_counts);
        job->names      = calloc(1, sizeof(*job->names));
        job->names[0]   = name;
        job->name_count = 1;
        job->timeout_ms = int_of(env, arguments[2], 0);
        job->result     = result_partition_counts;
        return job_start(env, arguments[0], job, false);
}

/* ---------------------------------------------------------------- life */

static napi_value producer_take_events(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value handle;
        napi_get_cb_info(env, info, &count, &handle, NULL, NULL);
        struct producer *producer = producer_of(env, handle, "takeEvents");
        return producer == NULL ? NULL : events_take(env, &producer->client.events);
}

/* Drops what is not sent and frees everything. Any thread; blocks. */
static void producer_discard(struct client *client) {
        struct producer *producer = (struct producer *)client;
        rd_kafka_purge(client->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        for (int i = 0; i < producer->topic_count; i++)
                rd_kafka_topic_destroy(producer->topics[i]->handle);
        rd_kafka_destroy(client->rk); /* the background thread has ended after this */
        for (int i = 0; i < producer->topic_count; i++) {
                free(producer->topics[i]->name);
                free(producer->topics[i]->acknowledged);
                free(producer->topics[i]);
        }
        free(producer->topics);
}

/* Worker. */
static void run_close(struct job *job) {
        struct producer *producer = (struct producer *)job->client;
        int64_t deadline          = now_ms() + job->timeout_ms;
        if (!atomic_load(&producer->in_transaction)) {
                rd_kafka_flush(job->client->rk, job->timeout_ms);
        } else {
                bool again = true;
                while (again && now_ms() < deadline && !atomic_load(&process_exiting)) {
                        struct failure failure = {0};
                        failure_take(&failure, job->client->rk,
                                     rd_kafka_abort_transaction(job->client->rk, slice_of(deadline)));
                        again = failure.failed && failure.retriable;
                }
        }
        producer_discard(job->client);
}

static void settled_close(struct job *job) {
        waker_stop(&job->client->waker);
        client_release(job->client);
}

/* close(producer, timeoutMs) */
static napi_value producer_close(napi_env env, napi_callback_info info) {
        size_t count = 2;
        napi_value arguments[2];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        struct producer *producer = producer_of(env, arguments[0], "close");
        if (producer == NULL)
                return NULL;
        struct job *job = job_new(&producer->client, "close", run_close);
        job->timeout_ms = int_of(env, arguments[1], 0);
        job->settled    = settled_close;
        return job_start(env, arguments[0], job, true);
}

/* createProducer(configuration, onWake) => handle */
static napi_value create_producer(napi_env env, napi_callback_info info) {
        size_t count = 2, size = 0;
        napi_value arguments[2];
        char reason[400];
        napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
        rd_kafka_conf_t *conf = configuration_read(env, arguments[0], "createProducer");
        if (conf == NULL)
                return NULL;
        struct producer *producer = calloc(1, sizeof(*producer));
        producer->client.discard  = producer_discard;
        pthread_mutex_init(&producer->lock, NULL);
        producer->transactional =
            rd_kafka_conf_get(conf, "transactional.id", NULL, &size) == RD_KAFKA_CONF_OK && size > 1;
        if (!client_prepare(env, &producer->client, arguments[1])) {
                rd_kafka_conf_destroy(conf);
                free(producer);
                return throw_argument(env, "createProducer", "onWake must be a function");
        }
        rd_kafka_conf_set_opaque(conf, producer);
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS);
        rd_kafka_conf_set_background_event_cb(conf, on_event);
        client_configure_logging(conf);
        producer->client.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
        if (producer->client.rk == NULL) {
                rd_kafka_conf_destroy(conf);
                waker_stop(&producer->client.waker);
                client_release(&producer->client);
                free(producer);
                return throw_argument(env, "createProducer", reason);
        }
        rd_kafka_queue_t *main_queue = rd_kafka_queue_get_main(producer->client.rk);
        rd_kafka_queue_t *background = rd_kafka_queue_get_background(producer->client.rk);
        rd_kafka_queue_forward(main_queue, background);
        rd_kafka_queue_destroy(main_queue);
        rd_kafka_queue_destroy(background);
        return client_wrap(env, &producer->client, &PRODUCER_TAG);
}

napi_value producer_exports(napi_env env, napi_value exports) {
        EXPORT_FUNCTION(env, exports, "createProducer", create_producer);
        EXPORT_FUNCTION(env, exports, "topicId", producer_topic_id);
        EXPORT_FUNCTION(env, exports, "produce", producer_produce);
        EXPORT_FUNCTION(env, exports, "acknowledged", producer_acknowledged);
        EXPORT_FUNCTION(env, exports, "initTransactions", producer_init_transactions);
        EXPORT_FUNCTION(env, exports, "beginTransaction", producer_begin_transaction);
        EXPORT_FUNCTION(env, exports, "sendOffsets", producer_send_offsets);
        EXPORT_FUNCTION(env, exports, "commitTransaction", producer_commit_transaction);
        EXPORT_FUNCTION(env, exports, "abortTransaction", producer_abort_transaction);
        EXPORT_FUNCTION(env, exports, "flush", producer_flush);
        EXPORT_FUNCTION(env, exports, "partitionCount", producer_partition_count);
        EXPORT_FUNCTION(env, exports, "producerEvents", producer_take_events);
        EXPORT_FUNCTION(env, exports, "closeProducer", producer_close);
        return exports;
}
