/* seal.c - see seal.h. */
#include "seal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define VERSION     1
#define TAG_BYTES   16
#define NONCE_BYTES 12
#define FIXED_BYTES (1 + SEAL_INCARNATION_BYTES + 8 + 8 + 1) /* of a header */
#define BYTES_MAX   (SEAL_TEXT_BYTES_MAX / 4 * 3)
#define PURPOSE     "penstock bus 1"

_Static_assert(FIXED_BYTES + SEAL_NODE_BYTES_MAX + SEAL_PLAIN_BYTES_MAX + TAG_BYTES <= BYTES_MAX,
               "what is sealed at once fits one payload");

struct seal {
    EVP_CIPHER_CTX *cipher; /* owns; has the key */
    uint8_t header[FIXED_BYTES + SEAL_NODE_BYTES_MAX];
    size_t header_bytes;
};

/* ---- keys ------------------------------------------------------------------------------------ */

static bool derive(const uint8_t key[SEAL_KEY_BYTES], struct span node,
                   const uint8_t incarnation[SEAL_INCARNATION_BYTES], uint8_t out[SEAL_KEY_BYTES])
{
    uint8_t room[sizeof PURPOSE + SEAL_INCARNATION_BYTES + SEAL_NODE_BYTES_MAX];
    struct writer text = writer_of(room, sizeof room);
    unsigned size;
    writer_bytes(&text, PURPOSE, sizeof PURPOSE);
    writer_bytes(&text, incarnation, SEAL_INCARNATION_BYTES);
    writer_put(&text, node);
    return !text.full &&
           HMAC(EVP_sha256(), key, SEAL_KEY_BYTES, room, writer_size(&text), out, &size) != NULL &&
           size == SEAL_KEY_BYTES;
}

static bool set_up(struct seal *seal, enum seal_use use, const uint8_t key[SEAL_KEY_BYTES])
{
    seal->cipher = EVP_CIPHER_CTX_new();
    return seal->cipher != NULL && EVP_CipherInit_ex(seal->cipher, EVP_aes_256_gcm(), NULL, key,
                                                     NULL, use == SEAL_CLOSES) == 1;
}

enum status seal_create(enum seal_use use, const uint8_t key[SEAL_KEY_BYTES], struct span node,
                        const uint8_t incarnation[SEAL_INCARNATION_BYTES], struct seal **out,
                        struct problem *problem)
{
    uint8_t derived[SEAL_KEY_BYTES];
    struct seal *seal = calloc(1, sizeof *seal);
    bool is_set =
        seal != NULL && derive(key, node, incarnation, derived) && set_up(seal, use, derived);
    explicit_bzero(derived, sizeof derived);
    if (!is_set) {
        seal_destroy(seal);
        return problem_set(problem, STATUS_INTERNAL, "libcrypto makes no key for the bus");
    }
    struct writer header = writer_of(seal->header, sizeof seal->header);
    writer_u8(&header, VERSION);
    writer_bytes(&header, incarnation, SEAL_INCARNATION_BYTES);
    writer_be64(&header, 0); /* counter */
    writer_be64(&header, 0); /* at */
    writer_u8(&header, (uint8_t)node.size);
    writer_put(&header, node);
    seal->header_bytes = writer_size(&header);
    *out = seal;
    return STATUS_OK;
}

void seal_destroy(struct seal *seal)
{
    if (seal != NULL) {
        EVP_CIPHER_CTX_free(seal->cipher);
        free(seal);
    }
}

/* The nonce, and what is authenticated beside the message. */
static bool begin(struct seal *seal, uint64_t counter, struct span header)
{
    uint8_t nonce[NONCE_BYTES];
    struct writer out = writer_of(nonce, sizeof nonce);
    int size;
    writer_be32(&out, 0);
    writer_be64(&out, counter);
    return EVP_CipherInit_ex(seal->cipher, NULL, NULL, NULL, nonce, -1) == 1 &&
           EVP_CipherUpdate(seal->cipher, NULL, &size, header.data, (int)header.size) == 1;
}

/* ---- closing --------------------------------------------------------------------------------- */

static void stamp(struct seal *seal, uint64_t counter, int64_t at_us)
{
    struct writer out = writer_of(seal->header + 1 + SEAL_INCARNATION_BYTES, 2 * sizeof(uint64_t));
    writer_be64(&out, counter);
    writer_be64(&out, (uint64_t)at_us);
}

static bool encrypt(struct seal *seal, struct span plain, struct writer *out)
{
    int size, rest;
    uint8_t *at = writer_take(out, plain.size);
    uint8_t *tag = writer_take(out, TAG_BYTES);
    return tag != NULL &&
           EVP_CipherUpdate(seal->cipher, at, &size, plain.data, (int)plain.size) == 1 &&
           EVP_CipherFinal_ex(seal->cipher, at + size, &rest) == 1 &&
           EVP_CIPHER_CTX_ctrl(seal->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
}

bool seal_close(struct seal *seal, uint64_t counter, int64_t at_us, struct span plain,
                struct writer *out)
{
    uint8_t room[BYTES_MAX];
    struct writer bytes = writer_of(room, sizeof room);
    struct span header = span_of(seal->header, seal->header_bytes);
    stamp(seal, counter, at_us);
    writer_put(&bytes, header);
    if (!begin(seal, counter, header) || !encrypt(seal, plain, &bytes)) {
        return false;
    }
    /* EVP_EncodeBlock() writes a zero behind the text. */
    size_t text_bytes = (writer_size(&bytes) + 2) / 3 * 4;
    uint8_t *text = writer_take(out, text_bytes + 1);
    if (text == NULL) {
        return false;
    }
    EVP_EncodeBlock(text, room, (int)writer_size(&bytes));
    out->next--;
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Returns how many bytes; 0: no base64, or nothing. One text for one value: EVP_DecodeBlock() takes
 * '=' anywhere for a zero, passes over bits that no byte has, and skips spaces at the ends. */
static size_t decode(struct span text, uint8_t room[SEAL_TEXT_BYTES_MAX])
{
    if (text.size == 0 || text.size % 4 != 0 || text.size > SEAL_TEXT_BYTES_MAX) {
        return 0;
    }
    size_t padding = 0;
    while (padding < 2 && text.data[text.size - 1 - padding] == '=') {
        padding++;
    }
    size_t size = text.size / 4 * 3 - padding;
    bool is_whole = memchr(text.data, '=', text.size - padding) == NULL &&
                    EVP_DecodeBlock(room, text.data, (int)text.size) == (int)(size + padding);
    return is_whole && (padding == 0 || room[size] == 0) ? size : 0;
}

bool envelope_read(struct span text, uint8_t room[SEAL_TEXT_BYTES_MAX], struct envelope *out)
{
    size_t size = decode(text, room);
    if (size < FIXED_BYTES || room[0] != VERSION) {
        return false;
    }
    size_t node_bytes = room[FIXED_BYTES - 1];
    size_t header_bytes = FIXED_BYTES + node_bytes;
    if (node_bytes > SEAL_NODE_BYTES_MAX || size < header_bytes + TAG_BYTES) {
        return false;
    }
    *out = (struct envelope){
        .node = span_of(room + FIXED_BYTES, node_bytes),
        .incarnation = room + 1,
        .counter = read_be64(room + 1 + SEAL_INCARNATION_BYTES),
        .at_us = (int64_t)read_be64(room + 1 + SEAL_INCARNATION_BYTES + 8),
        .header = span_of(room, header_bytes),
        .sealed = span_of(room + header_bytes, size - header_bytes),
    };
    return true;
}

bool seal_open(struct seal *seal, const struct envelope *envelope, struct writer *out)
{
    int size, rest;
    uint8_t tag[TAG_BYTES];
    size_t plain_bytes = envelope->sealed.size - TAG_BYTES;
    struct writer before = *out;
    uint8_t *at = writer_take(out, plain_bytes);
    memcpy(tag, envelope->sealed.data + plain_bytes, TAG_BYTES);
    bool is_true =
        at != NULL && begin(seal, envelope->counter, envelope->header) &&
        EVP_CipherUpdate(seal->cipher, at, &size, envelope->sealed.data, (int)plain_bytes) == 1 &&
        EVP_CIPHER_CTX_ctrl(seal->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
        EVP_CipherFinal_ex(seal->cipher, at + size, &rest) == 1;
    if (!is_true) {
        *out = before;
    }
    return is_true;
}
