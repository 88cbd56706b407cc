/*
 * jwks.c - the issuer's keys, over HTTPS (libcurl), in the background.
 *
 * Thread: its own, so that no edge ever waits for an issuer. Its life:
 *   1. it fetches, at most JWKS_BYTES_MAX in FETCH_S, without following redirects;
 *   2. keys that were read are handed over and take the place of those before;
 *   3. it sleeps for refresh_s, or until jwks_ask(), but never fetches twice within AGAIN_S: a
 *      storm of tokens with invented `kid`s costs the issuer one request in that time.
 *
 * An issuer that cannot be reached, or answers nonsense, takes no key away: those of the last good
 * answer stay in force, and it is asked again after RETRY_S. It is said once, and once more when it
 * is over.
 */
#include "jwks.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define JWKS_BYTES_MAX KEY_TEXT_BYTES
#define FETCH_S        10
#define AGAIN_S        2
#define RETRY_S        30
#define WATCH_MS       100 /* how often a fetch under way looks whether we stop */

struct jwks {
    struct jwks_options options;
    char *url, *authority; /* own; authority "": the system's */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping, asked; /* under the lock */
    _Atomic bool failing; /* the last attempt did */
};

struct answer {
    char *text; /* owns; JWKS_BYTES_MAX + 1 */
    size_t size;
};

/* ---- one fetch ------------------------------------------------------------------------------- */

static size_t on_data(char *data, size_t one, size_t size, void *owner)
{
    struct answer *answer = owner;
    (void)one; /* always 1 */
    if (size > JWKS_BYTES_MAX - answer->size) {
        return 0;
    }
    memcpy(answer->text + answer->size, data, size);
    answer->size += size;
    answer->text[answer->size] = '\0';
    return size;
}

static bool is_stopping(struct jwks *jwks)
{
    pthread_mutex_lock(&jwks->lock);
    bool stopping = jwks->stopping;
    pthread_mutex_unlock(&jwks->lock);
    return stopping;
}

static void set_options(CURL *curl, struct jwks *jwks, struct answer *answer, char *error)
{
    curl_easy_setopt(curl, CURLOPT_URL, jwks->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)FETCH_S);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, (long)JWKS_BYTES_MAX);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, NULL); /* nothing that has to be inflated */
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "penstock/" PENSTOCK_VERSION);
    if (jwks->authority[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_CAINFO, jwks->authority);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* else the system's would do, too */
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
}

/* As curl_easy_perform(), but it ends when we stop. */
static CURLcode perform(struct jwks *jwks, CURLM *multi, CURL *curl)
{
    int running = 1, left;
    if (curl_multi_add_handle(multi, curl) != CURLM_OK) {
        return CURLE_OUT_OF_MEMORY;
    }
    while (running > 0 && !is_stopping(jwks) && curl_multi_perform(multi, &running) == CURLM_OK &&
           running > 0) {
        curl_multi_poll(multi, NULL, 0, WATCH_MS, NULL);
    }
    CURLMsg *message = curl_multi_info_read(multi, &left);
    CURLcode result = message == NULL ? CURLE_ABORTED_BY_CALLBACK : message->data.result;
    curl_multi_remove_handle(multi, curl);
    return result;
}

static enum status fetch_text(struct jwks *jwks, struct answer *answer, struct problem *problem)
{
    char error[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    CURLM *multi = curl_multi_init();
    CURLcode result = CURLE_OUT_OF_MEMORY;
    if (curl != NULL && multi != NULL) {
        set_options(curl, jwks, answer, error);
        result = perform(jwks, multi, curl);
    }
    curl_easy_cleanup(curl);
    curl_multi_cleanup(multi);
    if (result == CURLE_OK) {
        return STATUS_OK;
    }
    return problem_set(problem, STATUS_UNAVAILABLE, "%s",
                       error[0] != '\0' ? error : curl_easy_strerror(result));
}

static enum status fetch(struct jwks *jwks, struct problem *problem)
{
    struct key_set *keys = NULL;
    struct answer answer = {malloc(JWKS_BYTES_MAX + 1), 0};
    if (answer.text == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory");
    }
    answer.text[0] = '\0';
    enum status status = fetch_text(jwks, &answer, problem);
    if (status == STATUS_OK) {
        status = key_set_parse_published(answer.text, "the answer", &keys, problem);
    }
    free(answer.text);
    if (status == STATUS_OK) {
        jwks->options.on_keys(jwks->options.owner, keys);
    }
    return status;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void say(struct jwks *jwks, enum status status, const struct problem *problem)
{
    bool was_failing = jwks->failing;
    if (status != STATUS_OK && !was_failing && !is_stopping(jwks)) {
        log_warn("auth",
                 "auth_jwks_url: the keys cannot be fetched: %s; the last ones stay in force",
                 problem->text);
    } else if (status == STATUS_OK && was_failing) {
        log_info("auth", "auth_jwks_url: the keys are fetched again");
    }
    jwks->failing = status != STATUS_OK;
}

/* Until somebody asks or the time is over; false: we stop. */
static bool sleep_until(struct jwks *jwks, int64_t until_us, bool wake_when_asked)
{
    struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    pthread_mutex_lock(&jwks->lock);
    while (!jwks->stopping && !(wake_when_asked && jwks->asked) &&
           clock_monotonic_us() < until_us) {
        pthread_cond_timedwait(&jwks->changed, &jwks->lock, &until);
    }
    bool goes_on = !jwks->stopping;
    pthread_mutex_unlock(&jwks->lock);
    return goes_on;
}

static void forget_asked(struct jwks *jwks)
{
    pthread_mutex_lock(&jwks->lock);
    jwks->asked = false;
    pthread_mutex_unlock(&jwks->lock);
}

static void *run(void *owner)
{
    struct jwks *jwks = owner;
    int64_t began_us, wait_s;
    do {
        struct problem problem;
        began_us = clock_monotonic_us();
        forget_asked(jwks); /* before: what is asked meanwhile may want a newer answer */
        enum status status = fetch(jwks, &problem);
        say(jwks, status, &problem);
        wait_s = status == STATUS_OK ? (int64_t)jwks->options.refresh_s : RETRY_S;
    } while (sleep_until(jwks, began_us + (int64_t)AGAIN_S * 1000000, false) &&
             sleep_until(jwks, began_us + wait_s * 1000000, true));
    return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Keys that came unprotected over a network could be anybody's. */
static bool is_safe(const char *url)
{
    static const char *const starts[] = {
        "https://",          "http://127.0.0.1:", "http://127.0.0.1/", "http://localhost:",
        "http://localhost/", "http://[::1]:",     "http://[::1]/"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (strncmp(url, starts[i], strlen(starts[i])) == 0) {
            return strchr(url, '@') == NULL; /* a user's name could hide the host's */
        }
    }
    return false;
}

static bool init_lock(struct jwks *jwks)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&jwks->lock, NULL); /* neither fails on Linux without attributes */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    bool is_made = pthread_cond_init(&jwks->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return is_made;
}

static void release(struct jwks *jwks)
{
    pthread_cond_destroy(&jwks->changed);
    pthread_mutex_destroy(&jwks->lock);
    free(jwks->url);
    free(jwks->authority);
    free(jwks);
}

static enum status check_options(const struct jwks_options *options, struct problem *problem)
{
    if (!is_safe(options->url)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "auth_jwks_url must begin with https:// (http:// is taken from this "
                           "machine only), and name no user");
    }
    if (options->authority != NULL && *options->authority != '\0' &&
        access(options->authority, R_OK) != 0) {
        return problem_set(problem, STATUS_BAD_CONFIG, "auth_jwks_authority %.200s: %s",
                           options->authority, strerror(errno));
    }
    return STATUS_OK;
}

enum status jwks_start(const struct jwks_options *options, struct jwks **out,
                       struct problem *problem)
{
    enum status status = check_options(options, problem);
    if (status != STATUS_OK) {
        return status;
    }
    struct jwks *jwks = calloc(1, sizeof *jwks);
    if (jwks == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to fetch keys");
    }
    jwks->options = *options;
    jwks->url = strdup(options->url);
    jwks->authority = strdup(options->authority == NULL ? "" : options->authority);
    (void)init_lock(jwks);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (jwks->url == NULL || jwks->authority == NULL ||
        pthread_create(&jwks->thread, NULL, run, jwks) != 0) {
        release(jwks);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to fetch keys");
    }
    pthread_setname_np(jwks->thread, "jwks");
    *out = jwks;
    return STATUS_OK;
}

void jwks_ask(struct jwks *jwks)
{
    pthread_mutex_lock(&jwks->lock);
    jwks->asked = true;
    pthread_cond_signal(&jwks->changed);
    pthread_mutex_unlock(&jwks->lock);
}

bool jwks_fails(const struct jwks *jwks)
{
    return jwks->failing;
}

void jwks_stop(struct jwks *jwks)
{
    if (jwks == NULL) {
        return;
    }
    pthread_mutex_lock(&jwks->lock);
    jwks->stopping = true;
    pthread_cond_signal(&jwks->changed);
    pthread_mutex_unlock(&jwks->lock);
    pthread_join(jwks->thread, NULL);
    release(jwks);
}
