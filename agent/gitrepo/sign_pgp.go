package gitrepo

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const pgpBegin = "-----BEGIN PGP SIGNATURE-----"

// pgpHashes are those that a signature may be made with.
var pgpHashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512}

// pgpKeys are the trusted keys of one entry.
type pgpKeys struct {
	name string
	keys openpgp.EntityList
}

// addPGP reads keys in armored form, one block or several.
func (k *keyring) addPGP(name string, text []byte) error {
	const begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	list := pgpKeys{name: name}
	parts := bytes.Split(text, []byte(begin))
	for _, part := range parts[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(io.MultiReader(strings.NewReader(begin), bytes.NewReader(part)))
		if err != nil {
			return fmt.Errorf("holds a PGP key that cannot be read; export it with gpg --armor --export")
		}
		list.keys = append(list.keys, keys...)
	}
	if len(list.keys) == 0 {
		return fmt.Errorf("holds no PGP public key; export it with gpg --armor --export")
	}
	k.pgp = append(k.pgp, list)
	return nil
}

// verifyPGP checks a signature in armored form.
func (k *keyring) verifyPGP(payload, armored []byte) (Signer, error) {
	block, err := armor.Decode(bytes.NewReader(armored))
	if err != nil || block.Type != openpgp.SignatureType {
		return Signer{}, errFormat
	}
	signature, err := io.ReadAll(block.Body)
	if err != nil {
		return Signer{}, sentence("has a signature that is damaged: sign it again")
	}
	for _, trusted := range k.pgp {
		entity, err := openpgp.CheckDetachedSignatureAndHash(trusted.keys, bytes.NewReader(payload), bytes.NewReader(signature), pgpHashes, nil)
		switch {
		case err == nil:
			return Signer{Name: trusted.name, Fingerprint: fingerprintOf(entity)}, nil
		case errors.Is(err, pgperrors.ErrUnknownIssuer):
			continue
		case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrSignatureExpired):
			return Signer{}, sentence("is signed by a key that has expired, of " + printable(trusted.name) + ": renew the key, or sign with another")
		case errors.Is(err, pgperrors.ErrKeyRevoked):
			return Signer{}, sentence("is signed by a key that was revoked, of " + printable(trusted.name) + ": sign with another")
		}
		if _, structural := errors.AsType[pgperrors.StructuralError](err); structural {
			return Signer{}, sentence("has a signature that is damaged or made with an old hash: sign it again, with SHA-256 or better")
		}
		return Signer{}, errForged
	}
	return Signer{}, errUnlisted(issuerOf(signature))
}

func fingerprintOf(e *openpgp.Entity) string { return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) }

// issuerOf is which key a signature says that it is made by.
func issuerOf(signature []byte) string {
	p, err := packet.Read(bytes.NewReader(signature))
	s, ok := p.(*packet.Signature)
	switch {
	case err != nil || !ok:
		return "unknown"
	case len(s.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", s.IssuerFingerprint)
	case s.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *s.IssuerKeyId)
	}
	return "unknown"
}
