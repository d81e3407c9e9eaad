package gitrepo

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// See https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
const (
	sshBegin     = "-----BEGIN SSH SIGNATURE-----"
	sshEnd       = "-----END SSH SIGNATURE-----"
	sshMagic     = "SSHSIG"
	sshNamespace = "git"
)

// sshKey is one trusted key.
type sshKey struct {
	name string
	blob []byte
}

// sshAlgorithms are the signatures that count, by the type of the key: none with SHA-1, no DSA,
// and no certificates.
var sshAlgorithms = map[string][]string{
	ssh.KeyAlgoED25519:    {ssh.KeyAlgoED25519},
	ssh.KeyAlgoECDSA256:   {ssh.KeyAlgoECDSA256},
	ssh.KeyAlgoECDSA384:   {ssh.KeyAlgoECDSA384},
	ssh.KeyAlgoECDSA521:   {ssh.KeyAlgoECDSA521},
	ssh.KeyAlgoRSA:        {ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512},
	ssh.KeyAlgoSKED25519:  {ssh.KeyAlgoSKED25519},
	ssh.KeyAlgoSKECDSA256: {ssh.KeyAlgoSKECDSA256},
}

// addSSH reads keys, one a line.
func (k *keyring) addSSH(name string, text []byte) error {
	found := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, forGit, err := parseSSHKey(line)
		if err != nil {
			return err
		}
		if found = true; forGit {
			k.ssh = append(k.ssh, sshKey{name, key.Marshal()})
		}
	}
	if !found {
		return fmt.Errorf("is empty; it has to hold a public key, PGP (armored) or SSH")
	}
	return nil
}

// parseSSHKey reads a line of authorized_keys or allowed_signers. In front of the key there may be
// options and, in the latter, principals. What would limit a key to less than it seems is
// obeyed or refused, never passed over.
func parseSSHKey(line string) (key ssh.PublicKey, forGit bool, err error) {
	words := quotedWords(line)
	at := slices.IndexFunc(words, func(word string) bool { return sshAlgorithms[word] != nil })
	if at < 0 || at+1 == len(words) {
		return nil, false, fmt.Errorf("is no public key; it has to be PGP (armored) or SSH (ed25519, ecdsa or rsa, as in authorized_keys)")
	}
	forGit = true
	for _, word := range words[:at] {
		lower := strings.ToLower(word)
		for _, limit := range []string{"cert-authority", "valid-after=", "valid-before=", "expiry-time="} {
			if strings.Contains(lower, limit) {
				return nil, false, fmt.Errorf("has a line with %s, which is not supported; list the keys themselves, and take out those that are no longer valid", strings.Trim(limit, "="))
			}
		}
		if _, list, found := strings.Cut(lower, "namespaces="); found {
			list, _, _ = strings.Cut(strings.TrimPrefix(list, `"`), `"`)
			forGit = slices.Contains(strings.Split(list, ","), sshNamespace)
		}
	}
	blob, err := base64.StdEncoding.DecodeString(words[at+1])
	if err == nil {
		key, err = ssh.ParsePublicKey(blob)
	}
	if err != nil || key.Type() != words[at] {
		return nil, false, fmt.Errorf("has a line with a public key that is damaged; copy it once more")
	}
	return key, forGit, nil
}

// quotedWords splits a line at spaces that are not in quotes.
func quotedWords(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t')
	})
}

// sshSignature is the content of a signature.
type sshSignature struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// verifySSH checks a signature in armored form.
func (k *keyring) verifySSH(payload, armored []byte) (Signer, error) {
	sig, err := readSSHSignature(armored)
	if err != nil {
		return Signer{}, err
	}
	key, err := ssh.ParsePublicKey(sig.PublicKey)
	if err != nil || sshAlgorithms[key.Type()] == nil {
		return Signer{}, sentence("is signed by a key of a kind that is not accepted: sign it with an ed25519, ecdsa or rsa key")
	}
	fingerprint := ssh.FingerprintSHA256(key)
	at := slices.IndexFunc(k.ssh, func(trusted sshKey) bool { return bytes.Equal(trusted.blob, key.Marshal()) })
	if at < 0 {
		return Signer{}, errUnlisted(fingerprint)
	}
	digest, err := sig.digest(payload)
	if err != nil {
		return Signer{}, err
	}
	var inner ssh.Signature
	if err := ssh.Unmarshal(sig.Signature, &inner); err != nil || !slices.Contains(sshAlgorithms[key.Type()], inner.Format) {
		return Signer{}, sentence("is signed by an algorithm that is not accepted: sign it with a newer ssh-keygen")
	}
	signed := append([]byte(sshMagic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Digest string }{sig.Namespace, sig.Reserved, sig.Hash, string(digest)})...)
	if err := key.Verify(signed, &inner); err != nil {
		return Signer{}, errForged
	}
	return Signer{Name: k.ssh[at].name, Fingerprint: fingerprint}, nil
}

func readSSHSignature(armored []byte) (sig sshSignature, err error) {
	const broken sentence = "has a signature that is damaged: sign it again"
	text := strings.TrimSpace(strings.TrimPrefix(string(armored), sshBegin))
	text, found := strings.CutSuffix(text, sshEnd)
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	blob, isSSH := bytes.CutPrefix(blob, []byte(sshMagic))
	switch {
	case !found || err != nil || !isSSH || ssh.Unmarshal(blob, &sig) != nil || sig.Version != 1:
		return sig, broken
	case sig.Namespace != sshNamespace:
		return sig, sentence(fmt.Sprintf("has a signature that was made for %q and not for commits: sign it with git commit -S", printable(sig.Namespace)))
	}
	return sig, nil
}

func (s sshSignature) digest(payload []byte) ([]byte, error) {
	switch s.Hash {
	case "sha256":
		sum := sha256.Sum256(payload)
		return sum[:], nil
	case "sha512":
		sum := sha512.Sum512(payload)
		return sum[:], nil
	}
	return nil, sentence(fmt.Sprintf("has a signature with the hash %q: sign it with sha256 or sha512", printable(s.Hash)))
}
