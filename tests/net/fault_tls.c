/* fault_tls: TLS under a certificate that was made a moment ago. */
#include "config.h"
#include "fault_impl.h"
#include "base/banned.h"
#ifdef HAVE_OPENSSL
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct fault_tls {
	SSL_CTX *ctx;
};

int fault_has_tls(void)
{
	return 1;
}

static int add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *ext;
	int good;

	X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	good = ext && X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	return good;
}

/* A certificate that vouches for itself. */
static X509 *make_cert(EVP_PKEY *key, const struct fault_opts *o)
{
	int days = o->tls_days ? o->tls_days : 1;
	X509 *x = X509_new();
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;
	char alt[256];

	if (o->tls_name)
		snprintf(alt, sizeof alt, "DNS:%s", o->tls_name);
	else
		snprintf(alt, sizeof alt, "IP:127.0.0.1,DNS:localhost");
	if (!name || !X509_set_version(x, 2) || !ASN1_INTEGER_set(X509_get_serialNumber(x), 1) ||
	    !X509_gmtime_adj(X509_getm_notBefore(x), -86400L * (days < 0 ? 1 - days : 1)) ||
	    !X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days) || !X509_set_pubkey(x, key) ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"fault", -1, -1, 0) ||
	    !X509_set_issuer_name(x, name) || !add_extension(x, NID_basic_constraints, "critical,CA:TRUE") ||
	    !add_extension(x, NID_subject_alt_name, alt) || !X509_sign(x, key, EVP_sha256())) {
		X509_free(x);
		return NULL;
	}
	return x;
}

static int write_cert(const char *path, X509 *x)
{
	FILE *f = fopen(path, "we");
	int good = f && PEM_write_X509(f, x);

	return (f ? fclose(f) == 0 : 0) && good;
}

struct fault_tls *fault_tls_new(const struct fault_opts *o)
{
	struct fault_tls *t = calloc(1, sizeof *t);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key ? make_cert(key, o) : NULL;

	if (t)
		t->ctx = SSL_CTX_new(TLS_server_method());
	if (!t || !t->ctx || !x || SSL_CTX_use_certificate(t->ctx, x) != 1 || SSL_CTX_use_PrivateKey(t->ctx, key) != 1 ||
	    !write_cert(o->tls, x)) {
		fault_tls_free(t);
		t = NULL;
	} else {
		SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	}
	X509_free(x);
	EVP_PKEY_free(key);
	return t;
}

void fault_tls_free(struct fault_tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

void *fault_tls_accept(struct fault_tls *t, int fd)
{
	SSL *s = SSL_new(t->ctx);

	if (s && SSL_set_fd(s, fd) != 1) {
		SSL_free(s);
		return NULL;
	}
	if (s)
		SSL_set_accept_state(s);
	return s;
}

/* What OpenSSL says, in the words of recv(2). */
static ssize_t result(SSL *s, int n)
{
	int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(s, n);

	if (n > 0)
		return n;
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
	return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

ssize_t fault_tls_read(void *session, char *p, size_t n)
{
	return result(session, SSL_read(session, p, (int)n));
}

ssize_t fault_tls_write(void *session, const char *p, size_t n)
{
	return result(session, SSL_write(session, p, (int)n));
}

void fault_tls_end(void *session, bool clean)
{
	if (clean && SSL_is_init_finished(session))
		SSL_shutdown(session);
	SSL_free(session);
}
#else
int fault_has_tls(void)
{
	return 0;
}
struct fault_tls *fault_tls_new(const struct fault_opts *o)
{
	(void)o;
	return NULL;
}
void fault_tls_free(struct fault_tls *t)
{
	(void)t;
}
void *fault_tls_accept(struct fault_tls *t, int fd)
{
	(void)t, (void)fd;
	return NULL;
}
ssize_t fault_tls_read(void *session, char *p, size_t n)
{
	(void)session, (void)p, (void)n;
	return -1;
}
ssize_t fault_tls_write(void *session, const char *p, size_t n)
{
	(void)session, (void)p, (void)n;
	return -1;
}
void fault_tls_end(void *session, bool clean)
{
	(void)session, (void)clean;
}
#endif
