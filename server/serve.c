/*
 * serve.c - `penstock serve`: from settings to a running pipeline, and back.
 *
 *   1. PostgreSQL is waited for; its schema `penstock` must be there (`penstock migrate`);
 *   2. the catalog says what the streams' tables are;
 *   3. the data folder is locked, and says which node this is;
 *   4. the pipeline starts; journals are recovered, ports bound; the catalog is watched from here
 *      on; SIGHUP reads the configuration again (reload.h);
 *   5. a signal drains it (a second one exits at once; the next start then replays the journal).
 */
#include "catalog_watch.h"
#include "commands.h"
#include "node_folder.h"
#include "pipeline.h"
#include "service.h"

#include "penstock/auth.h"
#include "penstock/edge.h"
#include "penstock/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DATABASE_RETRY_MS 1000
#define WATCH_MS          200
#define CLAIM_LOOK_MS     5

static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

void serve_block_signals(void)
{
    sigset_t set = ending_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a client that went away is an error code, not a death */
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow (setrlimit(2), RLIMIT_FSIZE) */
}

static int wait_for(const sigset_t *set, int timeout_ms)
{
    struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
    int number = sigtimedwait(set, NULL, &timeout);
    return number > 0 ? number : 0;
}

/* The number of a signal that asks for something, or 0. */
static int wait_for_signal(int timeout_ms)
{
    sigset_t set = ending_signals();
    return wait_for(&set, timeout_ms);
}

static bool is_ending(int number)
{
    return number != 0 && number != SIGHUP;
}

static enum status open_store(const struct settings *settings, struct store **out,
                              struct problem *problem)
{
    struct store_options options = {
        .url = settings->database_url,
        .role = "main",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    return store_open(&options, out, problem);
}

/* Waits while PostgreSQL is away; what waiting cannot mend fails at once. */
static enum status wait_for_store(const struct settings *settings, struct store **out,
                                  struct problem *problem)
{
    for (bool said = false;; said = true) {
        enum status status = open_store(settings, out, problem);
        if (status == STATUS_OK || status_class(status) != CLASS_WAIT) {
            return status;
        }
        if (!said) {
            log_warn("main", "waiting for PostgreSQL: %s", problem->text);
            service_notify("STATUS=waiting for PostgreSQL");
        }
        if (is_ending(wait_for_signal(DATABASE_RETRY_MS))) {
            return status;
        }
    }
}

static enum status read_database(const struct settings *settings, struct catalog_watch **out,
                                 char out_epoch[UUID_TEXT_BYTES + 1], struct problem *problem)
{
    struct store *store = NULL;
    enum status status = wait_for_store(settings, &store, problem);
    if (status == STATUS_OK) {
        status = store_check_schema(store, problem);
    }
    if (status == STATUS_OK) {
        status = store_read_epoch(store, out_epoch, problem);
    }
    if (status == STATUS_OK) {
        status = catalog_watch_open(settings, store, out, problem);
    }
    store_close(store);
    return status;
}

static unsigned default_edges(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned edges = cores <= 2 ? 1 : (unsigned)cores / 2;
    return edges < EDGES_MAX ? edges : EDGES_MAX;
}

static void count_stages(struct node *node, const struct settings *settings)
{
    unsigned kept = node_folder_lanes(settings->data_dir);
    node->edge_count =
        settings->edge_threads == 0 ? default_edges() : (unsigned)settings->edge_threads;
    node->lane_count = (unsigned)settings->lanes;
    if (kept > node->lane_count) {
        log_warn("main",
                 "lanes = %u, but %s/journal has %u: all of them run, so that nothing is left "
                 "behind; after a clean stop the surplus folders may be removed",
                 node->lane_count, settings->data_dir, kept);
        node->lane_count = kept;
    }
}

static void announce(const struct node *node, const struct settings *settings, size_t streams)
{
    log_info("main", "ready on %s://%s/ node=%s version=%s lanes=%u edges=%u loop=%s streams=%zu",
             settings_have_tls(settings) ? "https" : "http", settings->listen, node->name,
             PENSTOCK_VERSION, node->lane_count, node->edge_count, node->loop_engine, streams);
}

/* For the person in front of `penstock dev`; logs go to standard error. */
static void greet(const struct settings *settings)
{
    printf("\n  Penstock runs on  http://%s/\n  its tables        psql \"%s\"\n"
           "  stop it           Ctrl-C (the data stays)\n\n",
           settings->listen, settings->database_url);
    fflush(stdout);
}

static void exit_on_second_signal(int number)
{
    (void)number;
    static const char message[] =
        "penstock: second signal: exits at once, the next start replays\n";
    ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
    (void)ignored;
    _exit(EXIT_FAILED);
}

static void unblock_second_signal(void)
{
    sigset_t set = ending_signals();
    sigdelset(&set, SIGHUP); /* there is nothing to reload any more */
    struct sigaction action = {.sa_handler = exit_on_second_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* What a SIGHUP reads again. */
struct reloaded {
    const struct settings *settings;
    struct catalog_watch *catalog;
    struct verifier *verifier; /* NULL: no tokens */
    struct pipeline *pipeline;
};

/* Everything that may take long, such as asking PostgreSQL, is the catalog thread's. */
static enum status read_settings(const struct configuration *from, struct settings **out,
                                 struct problem *problem)
{
    struct settings *read = calloc(1, sizeof *read);
    if (read == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to read it");
    }
    enum status status = configuration_read(from, read, problem);
    if (status != STATUS_OK) {
        free(read);
        return status;
    }
    *out = read;
    return STATUS_OK;
}

/* The keys for tokens last: they are the ones that are taken where they are read. */
static enum status read_files(const struct reloaded *what, struct problem *problem)
{
    enum status status = edge_check_reload(what->settings, problem);
    return status == STATUS_OK && what->verifier != NULL ? verifier_reload(what->verifier, problem)
                                                         : status;
}

static enum status take_files(void *owner, struct problem *problem)
{
    const struct reloaded *what = owner;
    if (read_files(what, problem) != STATUS_OK) {
        return problem->status;
    }
    bool has_tls = settings_have_tls(what->settings);
    bool has_password = *what->settings->metrics_token_file != '\0';
    if (has_tls || has_password) {
        pipeline_reload(what->pipeline);
    }
    if (what->verifier != NULL) {
        log_info("main", "SIGHUP: the keys for tokens were read again");
    }
    if (has_tls) {
        log_info("main", "SIGHUP: new connections get the certificate that is there now");
    }
    if (has_password) {
        log_info("main", "SIGHUP: metrics_token_file was read again");
    }
    return STATUS_OK;
}

/* With a mistake in any part, all of it stays as it was: settings, keys, certificate, password. The
 * catalog's thread takes the files last, when the tables of new streams were found. */
static void on_hangup(const struct reloaded *what, const struct configuration *from)
{
    struct problem problem;
    struct settings *read = NULL;
    problem_clear(&problem);
    service_is_reloading();
    log_info("main",
             "SIGHUP: reads the configuration again, and looks whether tables were altered");
    enum status status = read_settings(from, &read, &problem);
    if (status == STATUS_OK) {
        catalog_watch_reload(what->catalog, read); /* takes it */
    } else {
        log_error("config", "the configuration stays as it was: %s", problem.text);
        service_is_ready("serving; the last reload was refused, the log says why");
    }
    catalog_watch_ask(what->catalog);
}

static bool has_open_claim(struct node *node)
{
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        if (atomic_load(&node->lanes[lane].claim) == CLAIM_OPEN) {
            return true;
        }
    }
    return false;
}

/* Another server of this name, or a session that is left of ourselves, may have our lanes: nobody
 * is told that we are ready before PostgreSQL has said that they are ours, or was lost. False: it
 * is over, and `*out_exit_code` says how. */
static bool wait_for_claims(struct node *node, int *out_exit_code)
{
    sigset_t set = ending_signals();
    sigdelset(&set, SIGHUP); /* stays pending until we are ready */
    while (has_open_claim(node)) {
        if (wait_for(&set, CLAIM_LOOK_MS) != 0) {
            *out_exit_code = 0;
            return false;
        }
        if (atomic_load(&node->journal_failed)) {
            break;
        }
    }
    *out_exit_code = EXIT_FAILED; /* the lane has said why */
    return !atomic_load(&node->journal_failed);
}

/* Returns the exit code: 0 after a signal. */
static int watch(const struct serve_options *options, struct node *node,
                 const struct reloaded *reloaded)
{
    struct problem problem;
    for (;;) {
        int number = wait_for_signal(WATCH_MS);
        if (is_ending(number)) {
            return 0;
        }
        if (number == SIGHUP) {
            on_hangup(reloaded, options->from);
        }
        if (atomic_load(&node->journal_failed)) {
            return EXIT_FAILED; /* the lane has said why */
        }
        if (options->is_alive != NULL && !options->is_alive(options->owner, &problem)) {
            return command_fail(&problem);
        }
    }
}

static void on_drift(void *catalog)
{
    catalog_watch_ask(catalog);
}

static int run_pipeline(const struct serve_options *serve, struct catalog_watch *catalog,
                        struct node *node, struct verifier *verifier)
{
    const struct settings *settings = serve->settings;
    int exit_code;
    struct problem problem;
    struct pipeline *pipeline = NULL;
    struct pipeline_options options = {.settings = settings,
                                       .streams = catalog_watch_streams(catalog),
                                       .node = node,
                                       .verifier = verifier,
                                       .is_development = serve->is_development,
                                       .on_drift = on_drift,
                                       .owner = catalog};
    problem_clear(&problem);
    if (pipeline_start(&options, &pipeline, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    struct reloaded reloaded = {settings, catalog, verifier, pipeline};
    if (catalog_watch_start(catalog, pipeline, node, take_files, &reloaded, &problem) !=
        STATUS_OK) {
        exit_code = command_fail(&problem);
    } else if (wait_for_claims(node, &exit_code)) {
        announce(node, settings, settings->stream_count);
        service_is_ready("serving");
        if (serve->is_development) {
            greet(settings);
        }
        exit_code = watch(serve, node, &reloaded);
    }
    unblock_second_signal();
    atomic_store(&node->draining, true);
    log_info("main", "draining");
    service_is_stopping();
    pipeline_stop(pipeline);
    catalog_watch_stop(catalog);
    pipeline_destroy(pipeline);
    bool failed = atomic_load(&node->journal_failed);
    log_info("main", "stopped");
    return failed ? EXIT_FAILED : exit_code;
}

/* A verifier, where the settings name keys. */
static enum status open_verifier(const struct settings *settings, struct verifier **out,
                                 struct problem *problem)
{
    struct verifier_options options = {
        .key = settings->auth_key,
        .key_file = settings->auth_key_file,
        .jwks_url = settings->auth_jwks_url,
        .jwks_authority = settings->auth_jwks_authority,
        .refresh_s = (unsigned)settings->auth_jwks_refresh_s,
    };
    return settings_ask_tokens(settings) ? verifier_create(&options, out, problem) : STATUS_OK;
}

/* What is set from tokens must not be left to clients because nobody asks for tokens. */
static enum status check_sets(const struct settings *settings, bool is_development,
                              struct problem *problem)
{
    for (size_t i = 0; i < settings->stream_count && !settings_ask_tokens(settings); i++) {
        if (settings->streams[i].set_count == 0) {
            continue;
        }
        if (!is_development) {
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "stream \"%s\" sets columns from tokens, and no key verifies "
                               "tokens: set auth_key_file, auth_key or auth_jwks_url",
                               settings->streams[i].name);
        }
        log_warn("main", "stream \"%s\": without tokens nothing is set, clients fill all columns",
                 settings->streams[i].name);
    }
    return STATUS_OK;
}

int serve_run(const struct serve_options *options)
{
    const struct settings *settings = options->settings;
    struct problem problem;
    struct node_folder folder;
    struct catalog_watch *catalog = NULL;
    struct verifier *verifier = NULL;
    int exit_code;
    problem_clear(&problem);
    settings_open_log(settings);

    if (check_sets(settings, options->is_development, &problem) != STATUS_OK ||
        open_verifier(settings, &verifier, &problem) != STATUS_OK) {
        return command_fail(&problem);
    }
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL) {
        problem_set(&problem, STATUS_NO_MEMORY, "no memory to start");
        exit_code = command_fail(&problem);
        goto destroy_verifier;
    }
    if (node_folder_open(&folder, settings->data_dir, settings->node, node->name, &problem) !=
        STATUS_OK) {
        exit_code = command_fail(&problem);
        goto free_node;
    }
    if (read_database(settings, &catalog, node->epoch, &problem) != STATUS_OK) {
        exit_code = command_fail(&problem);
        goto close_folder;
    }
    count_stages(node, settings);
    exit_code = run_pipeline(options, catalog, node, verifier);
    catalog_watch_close(catalog);

close_folder:
    node_folder_close(&folder);
free_node:
    free(node);
destroy_verifier:
    verifier_destroy(verifier);
    return exit_code;
}

int serve_command(int argc, char **argv)
{
    struct settings settings;
    struct configuration from;
    int exit_code;
    if (!command_configuration(argc, argv, "penstock serve", &from, &settings, &exit_code)) {
        return exit_code;
    }
    serve_block_signals();
    struct serve_options options = {.settings = &settings, .from = &from};
    exit_code = serve_run(&options);
    settings_fini(&settings);
    return exit_code;
}
