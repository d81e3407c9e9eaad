package artifact_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/artifact"
)

func public(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// sign signs a text, by its hash unless the options have none.
func sign(t *testing.T, key crypto.Signer, options crypto.SignerOpts, text string) string {
	t.Helper()
	message := []byte(text)
	if h := options.HashFunc(); h != 0 {
		w := h.New()
		w.Write(message)
		message = w.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, message, options)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestVerifySignature(t *testing.T) {
	digest := digestOf("weights")
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{
		"p256.pub": public(t, p256), "p384.pub": public(t, p384), "ed25519.pub": public(t, edwards), "rsa.pub": public(t, rsaKey),
		"cosign.password": []byte("hush"), "empty": nil,
	}
	for name, test := range map[string]struct {
		key     string
		signer  crypto.Signer
		options crypto.SignerOpts
	}{
		"P-256":         {"p256.pub", p256, crypto.SHA256},
		"P-384":         {"p384.pub", p384, crypto.SHA384},
		"P-384 SHA-256": {"p384.pub", p384, crypto.SHA256}, // as older cosign does
		"Ed25519":       {"ed25519.pub", edwards, crypto.Hash(0)},
		"Ed25519ph":     {"ed25519.pub", edwards, &ed25519.Options{Hash: crypto.SHA512}},
		"PKCS #1":       {"rsa.pub", rsaKey, crypto.SHA256},
		"PKCS #1 long":  {"rsa.pub", rsaKey, crypto.SHA512},
		"PSS":           {"rsa.pub", rsaKey, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}},
		"PSS short":     {"rsa.pub", rsaKey, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384}},
	} {
		t.Run(name, func(t *testing.T) {
			signature := sign(t, test.signer, test.options, digest)
			for _, form := range []string{signature, signature + "\n", signature[:10] + "\n" + signature[10:]} {
				if by, err := artifact.VerifySignature(digest, form, keys); by != test.key || err != nil {
					t.Errorf("by %q (%v), want %s", by, err, test.key)
				}
			}
			_, err := artifact.VerifySignature(digestOf("other"), signature, keys)
			failsWith(t, err, artifact.Mismatch, "the signature over "+digestOf("other")+" is by none of the keys ed25519.pub, p256.pub, p384.pub, rsa.pub: sign the text of this very digest")
			others := map[string][]byte{}
			for name, value := range keys {
				if name != test.key {
					others[name] = value
				}
			}
			_, err = artifact.VerifySignature(digest, signature, others)
			failsWith(t, err, artifact.Mismatch, "is by none of the keys")
		})
	}
	// Several keys in one value, and the older form of RSA's.
	both := append(public(t, p384), public(t, p256)...)
	if by, err := artifact.VerifySignature(digest, sign(t, p256, crypto.SHA256, digest), map[string][]byte{"both": both}); by != "both" || err != nil {
		t.Errorf("by %q, %v", by, err)
	}
	older := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)})
	if by, err := artifact.VerifySignature(digest, sign(t, rsaKey, crypto.SHA256, digest), map[string][]byte{"older": older}); by != "older" || err != nil {
		t.Errorf("by %q, %v", by, err)
	}
}

func TestVerifySignatureRefuses(t *testing.T) {
	digest, key := digestOf("weights"), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	signature := sign(t, key, crypto.SHA256, digest)
	keys := map[string][]byte{"key": public(t, key)}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	many := map[string][]byte{}
	for n := range 65 {
		many[strings.Repeat("k", n+1)] = keys["key"]
	}
	weak, err := os.ReadFile("testdata/rsa1024.pub")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		digest, signature string
		keys              map[string][]byte
		kind              artifact.Kind
		says              string
	}{
		"no digest":      {"", signature, keys, artifact.Invalid, "there is no digest that could be signed"},
		"other digest":   {"sha512:00", signature, keys, artifact.Invalid, "there is no digest that could be signed"},
		"no signature":   {digest, "", keys, artifact.Invalid, "the signature is not in base64"},
		"not base64":     {digest, "!!", keys, artifact.Invalid, "the signature is not in base64: encode it with base64 -w0"},
		"long signature": {digest, strings.Repeat("A", 8193), keys, artifact.Invalid, "longer than 8192 bytes"},
		"nonsense":       {digest, "AAAA", keys, artifact.Mismatch, "is by none of the keys key"},
		"no keys":        {digest, signature, nil, artifact.Invalid, "there is no public key to check the signature with"},
		"private key":    {digest, signature, map[string][]byte{"key": private}, artifact.Invalid, "there is no public key to check the signature with"},
		"broken key":     {digest, signature, map[string][]byte{"key": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})}, artifact.Invalid, "the key key is none that signatures are checked with"},
		"weak curve":     {digest, signature, map[string][]byte{"key": public(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)))}, artifact.Invalid, "is none that signatures are checked with"},
		"weak RSA":       {digest, signature, map[string][]byte{"key": weak}, artifact.Invalid, "RSA with at least 2048 bits"},
		"long key":       {digest, signature, map[string][]byte{"key": make([]byte, 64<<10+1)}, artifact.TooLarge, "the key key is longer than 65536 bytes"},
		"many keys":      {digest, signature, many, artifact.TooLarge, "there are 65 keys, and at most 64 are tried"},
	} {
		t.Run(name, func(t *testing.T) {
			by, err := artifact.VerifySignature(test.digest, test.signature, test.keys)
			failsWith(t, err, test.kind, test.says)
			if by != "" {
				t.Errorf("by %q", by)
			}
		})
	}
}

// TestOpenSSL: signatures made as the documentation says.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl")
	}
	dir, digest := t.TempDir(), digestOf("weights")
	if err := os.WriteFile(filepath.Join(dir, "digest"), []byte(digest), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ generate, sign string }{
		"P-256":   {"ecparam -name prime256v1 -genkey -noout -out key.pem", "dgst -sha256 -sign key.pem -out signature digest"},
		"P-384":   {"ecparam -name secp384r1 -genkey -noout -out key.pem", "dgst -sha384 -sign key.pem -out signature digest"},
		"RSA":     {"genrsa -out key.pem 2048", "dgst -sha256 -sign key.pem -out signature digest"},
		"PSS":     {"genrsa -out key.pem 2048", "dgst -sha256 -sigopt rsa_padding_mode:pss -sign key.pem -out signature digest"},
		"Ed25519": {"genpkey -algorithm ed25519 -out key.pem", "pkeyutl -sign -rawin -inkey key.pem -in digest -out signature"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, arguments := range []string{test.generate, "pkey -in key.pem -pubout -out key.pub", test.sign} {
				cmd := exec.Command("openssl", strings.Fields(arguments)...)
				cmd.Dir = dir
				if output, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("openssl %s: %v\n%s", arguments, err, output)
				}
			}
			signature := must(os.ReadFile(filepath.Join(dir, "signature")))
			key := must(os.ReadFile(filepath.Join(dir, "key.pub")))
			if by, err := artifact.VerifySignature(digest, base64.StdEncoding.EncodeToString(signature), map[string][]byte{"key": key}); by != "key" || err != nil {
				t.Errorf("by %q, %v", by, err)
			}
		})
	}
}
