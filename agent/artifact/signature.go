package artifact

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // and the longer ones
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	maxSignature = 8192 // as in the API
	maxKeys      = 64
	maxKeySize   = 64 << 10
	leastRSA     = 2048
)

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// VerifySignature checks a detached signature, in base64, over the text of a digest, "sha256:"
// and 64 hexadecimal digits without a newline. It returns the name of the key that made it.
//
// Keys are public keys in PEM form: ECDSA (P-256, P-384, P-521), Ed25519, or RSA with PKCS #1 v1.5 or
// PSS, with SHA-256, SHA-384 or SHA-512, as they are made by
//
//	printf %s "$DIGEST" | openssl dgst -sha256 -sign key.pem | base64 -w0
//	printf %s "$DIGEST" >digest && cosign sign-blob --key cosign.key digest
//
// A value may hold several; one that holds none, such as the password that is in a Secret of
// cosign, is passed over.
func VerifySignature(digest, signature string, keys map[string][]byte) (keyName string, err error) {
	if !digestForm.MatchString(digest) {
		return "", errorf(Invalid, "there is no digest that could be signed: it is sha256: and 64 hexadecimal digits")
	}
	if len(signature) > maxSignature {
		return "", errorf(Invalid, "the signature is longer than %d bytes: it is that of the digest's text, in base64", maxSignature)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(signature), ""))
	if err != nil || len(raw) == 0 {
		return "", errorf(Invalid, "the signature is not in base64: encode it with base64 -w0")
	}
	if len(keys) > maxKeys {
		return "", errorf(TooLarge, "there are %d keys, and at most %d are tried: name fewer", len(keys), maxKeys)
	}
	var tried []string
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		public, err := publicKeys(name, keys[name])
		if err != nil {
			return "", err
		}
		for _, key := range public {
			if signed(key, []byte(digest), raw) {
				return name, nil
			}
		}
		if len(public) > 0 {
			tried = append(tried, printable(name))
		}
	}
	if len(tried) == 0 {
		return "", errorf(Invalid, "there is no public key to check the signature with: put one in PEM form (-----BEGIN PUBLIC KEY-----) into the Secret")
	}
	return "", errorf(Mismatch, "the signature over %s is by none of the keys %s: sign the text of this very digest, without a newline, with one of them, or add the key", digest, strings.Join(tried, ", "))
}

// publicKeys reads the public keys of a value. What is of another kind is passed over.
func publicKeys(name string, value []byte) ([]crypto.PublicKey, error) {
	if len(value) > maxKeySize {
		return nil, errorf(TooLarge, "the key %s is longer than %d bytes: a public key in PEM form is shorter", printable(name), maxKeySize)
	}
	var found []crypto.PublicKey
	for block, rest := pem.Decode(value); block != nil; block, rest = pem.Decode(rest) {
		var key crypto.PublicKey
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		default:
			continue
		}
		if err != nil || !strong(key) {
			return nil, errorf(Invalid, "the key %s is none that signatures are checked with: use ECDSA (P-256, P-384 or P-521), Ed25519, or RSA with at least %d bits", printable(name), leastRSA)
		}
		found = append(found, key)
	}
	return found, nil
}

func strong(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize >= 256
	case *rsa.PublicKey:
		return key.N.BitLen() >= leastRSA
	case ed25519.PublicKey:
		return true
	}
	return false
}

// signed tells whether a key made a signature, in any of the forms that tools give them.
func signed(key crypto.PublicKey, message, signature []byte) bool {
	if key, ok := key.(ed25519.PublicKey); ok {
		return ed25519.Verify(key, message, signature) ||
			ed25519.VerifyWithOptions(key, hashed(crypto.SHA512, message), signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	}
	return slices.ContainsFunc([]crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}, func(h crypto.Hash) bool {
		sum := hashed(h, message)
		switch key := key.(type) {
		case *ecdsa.PublicKey:
			return ecdsa.VerifyASN1(key, sum, signature)
		case *rsa.PublicKey:
			return rsa.VerifyPKCS1v15(key, h, sum, signature) == nil || rsa.VerifyPSS(key, h, sum, signature, nil) == nil
		}
		return false
	})
}

func hashed(h crypto.Hash, message []byte) []byte {
	w := h.New()
	w.Write(message)
	return w.Sum(nil)
}
