/* A PKCS#11 module for tests: SoftHSM, with the answers that only hardware gives.
 *
 * FAKE_PKCS11_MODULE names the module underneath. FAKE_PKCS11_DOES names a file; its words say what goes wrong:
 *
 *   locked     the token says that its PIN is locked
 *   final      the token says that one try is left
 *   low        the token says that few tries are left
 *   untouched  signing ends with CKR_FUNCTION_CANCELED
 *   rejected   signing ends with CKR_FUNCTION_REJECTED
 *   removed    signing ends with CKR_DEVICE_REMOVED
 *   broken     signing ends with CKR_DEVICE_ERROR
 *   lying      signing gives a signature with one bit changed
 *   padless    ECDSA signatures have an odd length
 *   hidden     keys do not say that they ask for their PIN each time
 *   count      every call of C_Login is noted in the file's neighbour, `.logins`
 *
 * The list of functions is that of PKCS#11 2.40: a version, then 68 pointers in a fixed order.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long ulong;
struct attribute { ulong type; void *value; ulong length; };
struct list { unsigned char major, minor; void *call[68]; };

enum { GET_TOKEN_INFO = 6, LOGIN = 18, GET_ATTRIBUTE_VALUE = 24, SIGN = 43, SIGN_FINAL = 45 };
enum { DEVICE_ERROR = 0x30, DEVICE_REMOVED = 0x32, FUNCTION_CANCELED = 0x50, FUNCTION_REJECTED = 0x200 };

static struct list real, fake;

static int does(const char *what) {
    char words[256] = "";
    FILE *file = fopen(getenv("FAKE_PKCS11_DOES"), "r");
    if (file) {
        words[fread(words, 1, sizeof words - 1, file)] = 0;
        fclose(file);
    }
    return strstr(words, what) != NULL;
}

static ulong answer(void) {
    return does("untouched")  ? FUNCTION_CANCELED
           : does("rejected") ? FUNCTION_REJECTED
           : does("removed")  ? DEVICE_REMOVED
           : does("broken")   ? DEVICE_ERROR
                              : 0;
}

/* Spoils a signature that was made, so that the operation has ended as it does in hardware. Not where only its length
 * was asked for. */
static ulong end(unsigned char *signature, ulong *length) {
    if (!signature) return 0;
    if (answer()) memset(signature, 0, *length);
    if (does("lying")) signature[*length - 1] ^= 1;
    if (does("padless")) *length -= 1;
    return answer();
}

static ulong get_token_info(ulong slot, void *info) {
    ulong rv = ((ulong (*)(ulong, void *))real.call[GET_TOKEN_INFO])(slot, info);
    /* Label, manufacturer, model and serial number come first: 32 + 32 + 16 + 16 bytes. */
    ulong *flags = (ulong *)((char *)info + 96);
    if (rv == 0 && does("low")) *flags |= 0x00010000;
    if (rv == 0 && does("final")) *flags |= 0x00020000;
    if (rv == 0 && does("locked")) *flags |= 0x00040000;
    return rv;
}

static ulong login(ulong session, ulong user, unsigned char *pin, ulong length) {
    if (does("count")) {
        char path[4096];
        snprintf(path, sizeof path, "%s.logins", getenv("FAKE_PKCS11_DOES"));
        FILE *file = fopen(path, "a");
        if (file) {
            fprintf(file, "%lu\n", user);
            fclose(file);
        }
    }
    return ((ulong (*)(ulong, ulong, unsigned char *, ulong))real.call[LOGIN])(session, user, pin, length);
}

static ulong get_attribute_value(ulong session, ulong object, struct attribute *wanted, ulong count) {
    ulong rv = ((ulong (*)(ulong, ulong, struct attribute *, ulong))real.call[GET_ATTRIBUTE_VALUE])(
        session, object, wanted, count);
    for (ulong i = 0; i < count; i++) /* CKA_ALWAYS_AUTHENTICATE */
        if (wanted[i].type == 0x202 && wanted[i].value && wanted[i].length == 1 && does("hidden"))
            *(unsigned char *)wanted[i].value = 0;
    return rv;
}

static ulong sign(ulong session, unsigned char *data, ulong data_length, unsigned char *signature, ulong *length) {
    ulong rv = ((ulong (*)(ulong, unsigned char *, ulong, unsigned char *, ulong *))real.call[SIGN])(
        session, data, data_length, signature, length);
    return rv == 0 ? end(signature, length) : rv;
}

static ulong sign_final(ulong session, unsigned char *signature, ulong *length) {
    ulong rv = ((ulong (*)(ulong, unsigned char *, ulong *))real.call[SIGN_FINAL])(session, signature, length);
    return rv == 0 ? end(signature, length) : rv;
}

ulong C_GetFunctionList(struct list **list) {
    void *module = dlopen(getenv("FAKE_PKCS11_MODULE"), RTLD_NOW);
    ulong (*get)(struct list **) = module ? (ulong (*)(struct list **))dlsym(module, "C_GetFunctionList") : NULL;
    struct list *there;
    if (!get || get(&there)) return 5;
    real = fake = *there;
    fake.call[GET_TOKEN_INFO] = get_token_info;
    fake.call[LOGIN] = login;
    fake.call[GET_ATTRIBUTE_VALUE] = get_attribute_value;
    fake.call[SIGN] = sign;
    fake.call[SIGN_FINAL] = sign_final;
    *list = &fake;
    return 0;
}
