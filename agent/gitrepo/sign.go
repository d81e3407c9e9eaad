package gitrepo

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// Signer is who signed a commit.
type Signer struct {
	// Name of the entry in which the key is listed.
	Name string
	// Fingerprint of the key, as ssh-keygen or gpg shows it.
	Fingerprint string
}

func (s Signer) String() string { return s.Name + " (" + s.Fingerprint + ")" }

// Signers verifies the signature of a commit, that of a tree or one that Origin found behind it, and
// returns who made it: one signer, as a commit has one signature. Keys are those that are trusted, by
// their names; each value holds PGP public keys in armored form, or SSH public keys a line, as in
// authorized_keys or allowed_signers.
//
// The error is an [*Error], of the kind Untrusted if the commit is not signed, by nobody who is
// listed, or if it was changed since.
func (t *Tree) Signers(commit string, keys map[string][]byte) ([]Signer, error) {
	trusted, err := readKeys(keys)
	if err != nil {
		return nil, err
	}
	raw, err := t.store.readAs(plumbing.CommitObject, plumbing.NewHash(commit), maxCommit)
	if err != nil {
		return nil, t.explain(err, maxCommit)
	}
	signer, err := verify(raw, trusted)
	if err != nil {
		return nil, &Error{Kind: Untrusted, Message: "commit " + commit[:7] + " " + err.Error()}
	}
	return []Signer{signer}, nil
}

// sentence is why a signature does not count, with the commit in front.
type sentence string

func (s sentence) Error() string { return string(s) }

const (
	errUnsigned sentence = "is not signed: sign it (git commit -S), or have somebody approve it who does"
	errTwice    sentence = "has more than one signature: sign it once"
	errForged   sentence = "has a signature that does not match its content: sign it again"
	errFormat   sentence = "has a signature that is neither PGP nor SSH: sign it with one of them"
)

func errUnlisted(fingerprint string) error {
	return sentence("is signed by a key that is not listed (" + fingerprint + "): add the key, or sign with one that is listed")
}

// keyring is the keys that are trusted.
type keyring struct {
	ssh []sshKey
	pgp []pgpKeys
}

// readKeys reads keys and says which entry cannot be read: with one missing, a signature would
// seem to be wrong that is not.
func readKeys(keys map[string][]byte) (keyring, error) {
	var trusted keyring
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		var err error
		if text := keys[name]; bytes.Contains(text, []byte("-----BEGIN PGP ")) {
			err = trusted.addPGP(name, text)
		} else {
			err = trusted.addSSH(name, text)
		}
		if err != nil {
			return trusted, errorf(Invalid, "the key %s of the Secret %s", printable(name), err)
		}
	}
	if len(trusted.ssh)+len(trusted.pgp) == 0 {
		return trusted, errorf(Invalid, "the Secret holds no public keys; add them, each under a name")
	}
	return trusted, nil
}

// verify checks the signature of a commit object.
func verify(raw []byte, trusted keyring) (Signer, error) {
	payload, signature, err := unsigned(raw)
	switch {
	case err != nil:
		return Signer{}, err
	case bytes.Count(signature, []byte("-----BEGIN ")) > 1:
		return Signer{}, errTwice
	case bytes.HasPrefix(signature, []byte(sshBegin)):
		return trusted.verifySSH(payload, signature)
	case bytes.HasPrefix(signature, []byte(pgpBegin)):
		return trusted.verifyPGP(payload, signature)
	}
	return Signer{}, errFormat
}

// unsigned takes a commit apart into what is signed and the signature. What is signed is
// everything but the headers gpgsig and gpgsig-sha256 and the lines that go on with them. No
// other line is left out, or a commit could be changed that is signed.
func unsigned(raw []byte) (payload, signature []byte, err error) {
	head, body, found := bytes.Cut(raw, []byte("\n\n"))
	if !found {
		return nil, nil, errUnsigned
	}
	var header string // that the line belongs to
	signatures := 0
	for line := range bytes.Lines(append(slices.Clone(head), '\n')) {
		text, goesOn := bytes.CutPrefix(line, []byte(" "))
		if !goesOn {
			name, value, _ := bytes.Cut(line, []byte(" "))
			header, text = string(name), value
			if header == "gpgsig" {
				signatures++
			}
		}
		switch header {
		case "gpgsig":
			signature = append(signature, text...)
		case "gpgsig-sha256":
		default:
			payload = append(payload, line...)
		}
	}
	switch {
	case signatures == 0:
		return nil, nil, errUnsigned
	case signatures > 1:
		return nil, nil, errTwice
	}
	return fmt.Appendf(payload, "\n%s", body), signature, nil
}
