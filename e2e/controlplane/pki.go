package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// certificateLife outlives every demo and test; nothing here is renewed.
const certificateLife = 365 * 24 * time.Hour

// authority signs certificates. It is read back from its files on the next start, so that
// credentials handed out before stay good.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// pair is a certificate and its key, PEM-encoded.
type pair struct{ certificate, key []byte }

// identity is who a client certificate speaks for.
type identity struct {
	user   string
	groups []string
}

// loadAuthority reads NAME.crt and NAME.key, or makes them.
func loadAuthority(l layout, name string) (authority, error) {
	keyPEM, made, err := keyutil.LoadOrGenerateKeyFile(l.pki(name + ".key"))
	if err != nil {
		return authority{}, fmt.Errorf("the key of authority %s: %w", name, err)
	}
	parsed, err := keyutil.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		return authority{}, fmt.Errorf("the key of authority %s: %w", name, err)
	}
	key := parsed.(*ecdsa.PrivateKey)
	if made {
		certificate, err := cert.NewSelfSignedCACert(cert.Config{CommonName: name}, key)
		if err != nil {
			return authority{}, fmt.Errorf("making authority %s: %w", name, err)
		}
		encoded, err := cert.EncodeCertificates(certificate)
		if err != nil {
			return authority{}, err
		}
		if err := os.WriteFile(l.pki(name+".crt"), encoded, 0o644); err != nil {
			return authority{}, err
		}
		return authority{certificate, key}, nil
	}
	certificates, err := cert.CertsFromFile(l.pki(name + ".crt"))
	if err != nil {
		return authority{}, fmt.Errorf("the certificate of authority %s: %w; remove %s to start over", name, err, string(l))
	}
	return authority{certificates[0], key}, nil
}

// pem is the authority's certificate.
func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: a.certificate.Raw})
}

// client issues a certificate that authenticates as who.
func (a authority) client(who identity) (pair, error) {
	return a.issue(x509.Certificate{
		Subject:     pkix.Name{CommonName: who.user, Organization: who.groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// server issues a serving certificate.
func (a authority) server(addresses []net.IP, names []string) (pair, error) {
	return a.issue(x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: addresses,
		DNSNames:    names,
	})
}

func (a authority) issue(template x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return pair{}, err
	}
	template.SerialNumber = serial
	template.NotBefore = a.certificate.NotBefore
	template.NotAfter = time.Now().Add(certificateLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature

	der, err := x509.CreateCertificate(rand.Reader, &template, a.certificate, key.Public(), a.key)
	if err != nil {
		return pair{}, fmt.Errorf("issuing a certificate for %s: %w", template.Subject.CommonName, err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return pair{}, err
	}
	return pair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der}),
		key:         keyPEM,
	}, nil
}

// write puts the pair into NAME.crt and NAME.key.
func (p pair) write(l layout, name string) error {
	if err := os.WriteFile(l.pki(name+".crt"), p.certificate, 0o644); err != nil {
		return err
	}
	return os.WriteFile(l.pki(name+".key"), p.key, 0o600)
}
