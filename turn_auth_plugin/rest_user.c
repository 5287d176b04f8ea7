/*
 * Name to time, secret to key; see rest_user.h.
 */

#include "rest_user.h"

#include "hmac_sha1.h"

#include <openssl/evp.h>
#include <string.h>

#define PASSWORD_LEN 28 /* base64 of HMAC_SHA1_LEN bytes */

int rest_user_parse(const char *name, size_t len, int64_t *until)
{
    int64_t seconds = 0;
    size_t i;

    for (i = 0; i < len && name[i] >= '0' && name[i] <= '9'; i++) {
        seconds = 10 * seconds + name[i] - '0';
        if (seconds > UINT32_MAX) {
            return 0;
        }
    }
    if (i == 0 || (i < len && name[i] != ':')) {
        return 0;
    }
    *until = seconds;
    return 1;
}

static int password_of(char password[PASSWORD_LEN + 1], const char *name,
                       size_t name_len, const char *secret, size_t secret_len)
{
    uint8_t mac[HMAC_SHA1_LEN];

    if (!hmac_sha1(mac, secret, secret_len, name, name_len)) {
        return 0;
    }
    EVP_EncodeBlock((uint8_t *)password, mac, sizeof(mac));
    explicit_bzero(mac, sizeof(mac));
    return 1;
}

int rest_user_key(uint8_t key[REST_USER_KEY_LEN], const char *name,
                  size_t name_len, const char *realm, size_t realm_len,
                  const char *secret, size_t secret_len)
{
    char password[PASSWORD_LEN + 1];
    EVP_MD_CTX *md5;
    int done;

    if (secret_len == 0 ||
        !password_of(password, name, name_len, secret, secret_len)) {
        return 0;
    }
    md5 = EVP_MD_CTX_new();
    done = md5 && EVP_DigestInit_ex(md5, EVP_md5(), NULL) == 1 &&
           EVP_DigestUpdate(md5, name, name_len) == 1 &&
           EVP_DigestUpdate(md5, ":", 1) == 1 &&
           EVP_DigestUpdate(md5, realm, realm_len) == 1 &&
           EVP_DigestUpdate(md5, ":", 1) == 1 &&
           EVP_DigestUpdate(md5, password, PASSWORD_LEN) == 1 &&
           EVP_DigestFinal_ex(md5, key, NULL) == 1;
    EVP_MD_CTX_free(md5);
    explicit_bzero(password, sizeof(password));
    return done;
}
