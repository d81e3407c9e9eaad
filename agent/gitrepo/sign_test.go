package gitrepo

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// sshKeygen makes a key pair with OpenSSH and returns its file.
func sshKeygen(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", append([]string{"-q", "-N", "", "-C", "ana@example.com", "-f", file}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen, of the package openssh-client: %v\n%s", err, out)
	}
	return file
}

func public(t *testing.T, file string) []byte {
	t.Helper()
	line, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// signers are those of a commit in a mirror.
func signers(dir, commit string, keys map[string][]byte) ([]Signer, error) {
	tree, err := OpenTree(dir, commit)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return tree.Signers(commit, keys)
}

// fetched is a mirror that has a commit, which is put on main.
func (o *origin) fetched(commit string) *Mirror {
	o.t.Helper()
	o.git(o.work, "push", "-q", "-f", "origin", commit+":refs/heads/main")
	m := newMirror(o.t)
	must(o.t, m, Remote{URL: "file://" + o.bare()}, Want{Branch: "main"})
	return m
}

// raw makes a commit object of bytes and returns its id.
func (o *origin) raw(content string) string {
	o.t.Helper()
	cmd := exec.Command("git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
	cmd.Dir, cmd.Stdin = o.work, strings.NewReader(content)
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// content is the bytes of an object.
func (o *origin) content(id string) string {
	o.t.Helper()
	cmd := exec.Command("git", "cat-file", "commit", id)
	cmd.Dir = o.work
	out, err := cmd.Output()
	if err != nil {
		o.t.Fatal(err)
	}
	return string(out)
}

// withHeader adds a header of several lines to a commit, in front of its message.
func withHeader(raw, name, value string) string {
	head, body, _ := strings.Cut(raw, "\n\n")
	return head + "\n" + name + " " + strings.ReplaceAll(strings.TrimSuffix(value, "\n"), "\n", "\n ") + "\n\n" + body
}

func TestSignersOfWhatGitSigns(t *testing.T) {
	kinds := map[string][]string{
		"ed25519":   {"-t", "ed25519"},
		"ecdsa 256": {"-t", "ecdsa", "-b", "256"},
		"ecdsa 384": {"-t", "ecdsa", "-b", "384"},
		"ecdsa 521": {"-t", "ecdsa", "-b", "521"},
		"rsa 2048":  {"-t", "rsa", "-b", "2048"},
		"rsa 4096":  {"-t", "rsa", "-b", "4096"},
	}
	other := public(t, sshKeygen(t, "-t", "ed25519"))
	for name, args := range kinds {
		t.Run(name, func(t *testing.T) {
			o := seeded(t)
			key := sshKeygen(t, args...)
			o.git(o.work, "-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "commit", "-q", "-S", "--allow-empty", "-m", "subject\n\nbody ünïcode\n\n  indented\n")
			signed := o.head()
			m := o.fetched(signed)
			line := strings.TrimSpace(string(public(t, key)))
			fields := strings.Fields(line)
			parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			want := Signer{Name: "ana.pub", Fingerprint: ssh.FingerprintSHA256(parsed)}

			for form, listed := range map[string]string{
				"authorized_keys":      line,
				"with options":         `no-pty,command="echo ssh-ed25519 AAAA" ` + line,
				"without a comment":    fields[0] + " " + fields[1],
				"allowed_signers":      "ana@example.com,*@example.org " + fields[0] + " " + fields[1],
				"for git":              `ana@example.com namespaces="file,git" ` + fields[0] + " " + fields[1],
				"one of several":       "# the team\n\n" + string(other) + line + "\r\n",
				"with PGP keys beside": line,
			} {
				keys := map[string][]byte{"ana.pub": []byte(listed), "ben.pub": other}
				if form == "with PGP keys beside" {
					keys["cem.asc"] = newPGP(t, nil).public
				}
				if got, err := signers(m.dir, signed, keys); err != nil || len(got) != 1 || got[0] != want {
					t.Errorf("%s: %v, %v, want %v", form, got, err, want)
				}
			}

			trusted := map[string][]byte{"ana.pub": []byte(line)}
			untrusted(t, m, signed, map[string][]byte{"ben.pub": other}, "is signed by a key that is not listed ("+want.Fingerprint+")")
			untrusted(t, m, signed, map[string][]byte{"ben.pub": other, "ana.pub": []byte(`ana namespaces="file" ` + line)}, "is signed by a key that is not listed ("+want.Fingerprint+")")
			for what, forged := range map[string]string{
				"another message":  strings.Replace(o.content(signed), "subject", "object", 1),
				"another author":   strings.Replace(o.content(signed), "a@example.com", "b@example.com", 1),
				"one header more":  withHeader(o.content(signed), "gpgsigned", "x"),
				"a longer message": o.content(signed) + "more\n",
			} {
				id := o.raw(forged)
				t.Log(what)
				untrusted(t, o.fetched(id), id, trusted, "has a signature that does not match its content")
			}
			twice := o.raw(withHeader(o.content(signed), "gpgsig", sshBegin+"\nx\n"+sshEnd))
			untrusted(t, o.fetched(twice), twice, trusted, "has more than one signature")

			// What signs for a repository with SHA-256 is no part of what is signed here.
			also := o.raw(withHeader(o.content(signed), "gpgsig-sha256", sshBegin+"\nx\n"+sshEnd))
			if got, err := signers(o.fetched(also).dir, also, trusted); err != nil || len(got) != 1 || got[0] != want {
				t.Errorf("with gpgsig-sha256: %v, %v", got, err)
			}
		})
	}
}

// untrusted fails unless a commit is not to be trusted, for a reason.
func untrusted(t *testing.T, m *Mirror, commit string, keys map[string][]byte, says string) {
	t.Helper()
	got, err := signers(m.dir, commit, keys)
	if kindOf(err) != Untrusted || !strings.HasPrefix(err.Error(), "commit "+commit[:7]+" "+says) || got != nil {
		t.Errorf("%v, %v (%s), want %q", got, err, kindOf(err), says)
	}
}

// pgp is a PGP key in the forms that tests need.
type pgp struct {
	entity *openpgp.Entity
	public []byte
}

func newPGP(t *testing.T, config *packet.Config) pgp {
	t.Helper()
	entity, err := openpgp.NewEntity("Ana", "", "ana@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return pgp{entity, armored(t, entity)}
}

func armored(t *testing.T, entity *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = entity.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sign makes an armored signature.
func (p pgp) sign(t *testing.T, payload string, config *packet.Config) string {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, p.entity, strings.NewReader(payload), config); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSignersByPGP(t *testing.T) {
	o := seeded(t)
	plain := o.content(o.head())
	ana, ben := newPGP(t, nil), newPGP(t, nil)
	rsaKey := newPGP(t, &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048})
	past := &packet.Config{Time: func() time.Time { return time.Now().Add(-48 * time.Hour) }, KeyLifetimeSecs: 3600}
	expired := newPGP(t, past)
	revoked := newPGP(t, nil)
	before := o.raw(withHeader(plain, "gpgsig", revoked.sign(t, plain, nil)))
	if err := revoked.entity.RevokeKey(packet.KeyCompromised, "lost", nil); err != nil {
		t.Fatal(err)
	}
	signed := func(p pgp, config *packet.Config) string {
		return o.raw(withHeader(plain, "gpgsig", p.sign(t, plain, config)))
	}
	fingerprint := func(p pgp) string { return fmt.Sprintf("%X", p.entity.PrimaryKey.Fingerprint) }
	keys := map[string][]byte{
		"team.asc": append(append([]byte("Ben and Ana\n"), ben.public...), ana.public...),
		"rsa.asc":  rsaKey.public, "old.asc": expired.public, "lost.asc": armored(t, revoked.entity),
		"ssh.pub": ssh.MarshalAuthorizedKey(newKey(t, "").signer.PublicKey()),
	}
	for name, c := range map[string]struct {
		commit string
		want   Signer
	}{
		"eddsa":   {signed(ana, nil), Signer{"team.asc", fingerprint(ana)}},
		"rsa":     {signed(rsaKey, nil), Signer{"rsa.asc", fingerprint(rsaKey)}},
		"sha-512": {signed(ben, &packet.Config{DefaultHash: crypto.SHA512}), Signer{"team.asc", fingerprint(ben)}},
	} {
		if got, err := signers(o.fetched(c.commit).dir, c.commit, keys); err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	stranger := newPGP(t, nil)
	valid := o.content(signed(ana, nil))
	for name, c := range map[string]struct{ commit, says string }{
		"not signed":          {o.head(), "is not signed: sign it (git commit -S)"},
		"not listed":          {signed(stranger, nil), "is signed by a key that is not listed (" + fingerprint(stranger) + ")"},
		"expired":             {signed(expired, past), "is signed by a key that has expired, of old.asc"},
		"revoked":             {before, "is signed by a key that was revoked, of lost.asc"},
		"another message":     {o.raw(valid + "more"), "has a signature that does not match its content"},
		"another tree":        {o.raw(strings.Replace(valid, "tree "+o.git(o.work, "rev-parse", "HEAD^{tree}"), "tree "+o.git(o.work, "rev-parse", "HEAD:dir"), 1)), "has a signature that does not match its content"},
		"two in one":          {o.raw(withHeader(plain, "gpgsig", ana.sign(t, plain, nil)+"\n"+ben.sign(t, plain, nil))), "has more than one signature"},
		"X.509":               {o.raw(withHeader(plain, "gpgsig", "-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----")), "has a signature that is neither PGP nor SSH"},
		"empty":               {o.raw(withHeader(plain, "gpgsig", "")), "has a signature that is neither PGP nor SSH"},
		"cut off":             {o.raw(withHeader(plain, "gpgsig", ana.sign(t, plain, nil)[:120])), "has a signature that "},
		"only in the message": {o.raw(plain + "\ngpgsig " + ana.sign(t, plain, nil)), "is not signed"},
		"only for SHA-256":    {o.raw(withHeader(plain, "gpgsig-sha256", ana.sign(t, plain, nil))), "is not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			untrusted(t, o.fetched(c.commit), c.commit, keys, c.says)
		})
	}
	if _, err := signers(newMirror(t).dir, o.head(), keys); kindOf(err) != NotFetched {
		t.Errorf("a commit that is not there: %v", err)
	}
}

// sshsig signs as ssh-keygen -Y sign does, with whatever is wrong with it.
type sshsig struct {
	signer                     ssh.AlgorithmSigner
	algorithm, namespace, hash string
	version                    uint32
	certificate                []byte
}

func (s sshsig) sign(t *testing.T, payload string) string {
	t.Helper()
	sum := sha512.Sum512([]byte(payload))
	digest := sum[:]
	if s.hash == "sha256" {
		short := sha256.Sum256([]byte(payload))
		digest = short[:]
	}
	data := append([]byte(sshMagic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Digest string }{s.namespace, "", s.hash, string(digest)})...)
	signature, err := s.signer.SignWithAlgorithm(rand.Reader, data, s.algorithm)
	if err != nil {
		t.Fatal(err)
	}
	key := s.signer.PublicKey().Marshal()
	if s.certificate != nil {
		key = s.certificate
	}
	blob := append([]byte(sshMagic), ssh.Marshal(sshSignature{s.version, key, s.namespace, "", s.hash, ssh.Marshal(signature)})...)
	return sshBegin + "\n" + base64.StdEncoding.EncodeToString(blob) + "\n" + sshEnd + "\n"
}

func TestSignersDoNotTakeEveryThingForASignature(t *testing.T) {
	o := seeded(t)
	plain := o.content(o.head())
	signerOf := func(key crypto.Signer, err error) ssh.AlgorithmSigner {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		s, err := ssh.NewSignerFromSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		return s.(ssh.AlgorithmSigner)
	}
	rsaPrivate, err := rsa.GenerateKey(rand.Reader, 2048)
	rsaSigner := signerOf(rsaPrivate, err)
	ecPrivate, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecSigner := signerOf(ecPrivate, err)
	authority := newKey(t, "").signer
	certificate := &ssh.Certificate{Key: ecSigner.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{
		"rsa": ssh.MarshalAuthorizedKey(rsaSigner.PublicKey()),
		"ec":  ssh.MarshalAuthorizedKey(ecSigner.PublicKey()),
		"ca":  ssh.MarshalAuthorizedKey(authority.PublicKey()),
	}
	good := sshsig{signer: ecSigner, algorithm: ssh.KeyAlgoECDSA256, namespace: "git", hash: "sha256", version: 1}
	for name, c := range map[string]struct {
		change func(*sshsig)
		says   string // empty: it is right
	}{
		"sha256":               {func(*sshsig) {}, ""},
		"rsa-sha2-256":         {func(s *sshsig) { s.signer, s.algorithm = rsaSigner, ssh.KeyAlgoRSASHA256 }, ""},
		"rsa-sha2-512, sha512": {func(s *sshsig) { s.signer, s.algorithm, s.hash = rsaSigner, ssh.KeyAlgoRSASHA512, "sha512" }, ""},
		"rsa with SHA-1":       {func(s *sshsig) { s.signer, s.algorithm = rsaSigner, ssh.KeyAlgoRSA }, "is signed by an algorithm that is not accepted"},
		"for a file":           {func(s *sshsig) { s.namespace = "file" }, `has a signature that was made for "file" and not for commits`},
		"for nothing":          {func(s *sshsig) { s.namespace = "" }, `has a signature that was made for "" and not for commits`},
		"md5":                  {func(s *sshsig) { s.hash = "md5" }, `has a signature with the hash "md5"`},
		"another version":      {func(s *sshsig) { s.version = 2 }, "has a signature that is damaged"},
		"a certificate":        {func(s *sshsig) { s.certificate = certificate.Marshal() }, "is signed by a key of a kind that is not accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			c.change(&s)
			commit := o.raw(withHeader(plain, "gpgsig", s.sign(t, plain)))
			if c.says != "" {
				untrusted(t, o.fetched(commit), commit, keys, c.says)
				return
			}
			if got, err := signers(o.fetched(commit).dir, commit, keys); err != nil || len(got) != 1 || got[0].Fingerprint != ssh.FingerprintSHA256(s.signer.PublicKey()) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	for name, signature := range map[string]string{
		"no base64":   sshBegin + "\n!\n" + sshEnd,
		"no magic":    sshBegin + "\nAAAA\n" + sshEnd,
		"nothing":     sshBegin + "\n" + sshEnd,
		"no end":      sshBegin + "\nAAAA",
		"cut off":     sshBegin + "\nU1NIU0lHAAAAAQAA\n" + sshEnd,
		"more behind": good.sign(t, plain) + "more",
	} {
		t.Run(name, func(t *testing.T) {
			commit := o.raw(withHeader(plain, "gpgsig", signature))
			untrusted(t, o.fetched(commit), commit, keys, "has a signature that is damaged")
		})
	}
	// A signature that somebody made of another commit.
	replayed := o.raw(withHeader(strings.Replace(plain, "change main", "other", 1), "gpgsig", good.sign(t, plain)))
	untrusted(t, o.fetched(replayed), replayed, keys, "has a signature that does not match its content")
}

func TestSignersSayWhichKeyCannotBeRead(t *testing.T) {
	o := seeded(t)
	m := o.fetched(o.head())
	good := ssh.MarshalAuthorizedKey(newKey(t, "").signer.PublicKey())
	private := newKey(t, "").pem
	for name, c := range map[string]struct {
		keys map[string][]byte
		says string
	}{
		"none":             {nil, "the Secret holds no public keys"},
		"empty":            {data("a.pub", ""), "the key a.pub of the Secret is empty"},
		"only comments":    {data("a.pub", "# ana\n"), "the key a.pub of the Secret is empty"},
		"no key":           {data("a.pub", "hush hush"), "the key a.pub of the Secret is no public key"},
		"a private key":    {map[string][]byte{"a": private}, "the key a of the Secret is no public key"},
		"a broken key":     {data("a.pub", "ssh-ed25519 AAAAhush"), "the key a.pub of the Secret has a line with a public key that is damaged"},
		"another kind":     {data("a.pub", "ssh-rsa "+strings.Fields(string(good))[1]), "is damaged"},
		"an authority":     {data("a.pub", "*@example.com cert-authority "+string(good)), "cert-authority, which is not supported"},
		"with an end":      {data("a.pub", `ana valid-before="20200101" `+string(good)), "valid-before, which is not supported"},
		"for another use":  {data("a.pub", `ana namespaces="file" `+string(good)), "the Secret holds no public keys"},
		"PGP private":      {data("a.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nhush\n-----END PGP PRIVATE KEY BLOCK-----"), "the key a.asc of the Secret holds no PGP public key"},
		"PGP broken":       {data("a.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nhush\n-----END PGP PUBLIC KEY BLOCK-----"), "the key a.asc of the Secret holds a PGP key that cannot be read"},
		"one of several":   {map[string][]byte{"a.pub": good, "b.pub": []byte("hush")}, "the key b.pub of the Secret"},
		"name for a shell": {data("a\nb", "hush"), `the key a b of the Secret`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := signers(m.dir, o.head(), maps.Clone(c.keys))
			if kindOf(err) != Invalid || !strings.Contains(err.Error(), c.says) || got != nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v, %v (%s), want %q", got, err, kindOf(err), c.says)
			}
		})
	}
}

// What is signed is taken from any bytes without a panic, and never more than the signature is
// left out.
func FuzzUnsigned(f *testing.F) {
	f.Add([]byte("tree a\nauthor b\ngpgsig -----BEGIN\n x\n y\ncommitter c\n\nmessage\n"))
	f.Add([]byte("gpgsig a\n\n\ngpgsig b\n c"))
	f.Add([]byte(" a\ngpgsig-sha256 b\n c\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		payload, signature, err := unsigned(raw)
		if err != nil {
			return
		}
		head, body, _ := bytes.Cut(raw, []byte("\n\n"))
		if !bytes.HasSuffix(payload, append([]byte("\n"), body...)) || len(payload)+len(signature) > len(raw) {
			t.Fatalf("%q is %q and %q", raw, payload, signature)
		}
		for line := range bytes.Lines(head) {
			kept := bytes.Contains(payload, bytes.TrimSuffix(line, []byte("\n")))
			if !kept && !bytes.HasPrefix(line, []byte("gpgsig")) && line[0] != ' ' {
				t.Fatalf("%q lost the line %q", raw, line)
			}
		}
	})
}
