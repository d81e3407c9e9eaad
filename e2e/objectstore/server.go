package objectstore

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/sluice-dev/sluice/e2e/program"
	"gocloud.dev/blob/s3blob"
)

// Region is what the server calls its own.
const Region = "us-east-1"

// Options of a server. The zero value serves over plain HTTP.
type Options struct {
	// Dir keeps the buckets; one of an earlier server is served again. Empty: a directory that
	// Stop removes.
	Dir string
	// Address to listen on, an IP address of this machine: 127.0.0.1 by default, another in a
	// network namespace of the test's own, for Pods to reach.
	Address string
	// TLS makes the server speak HTTPS, on 127.0.0.1 only, with a certificate of its own.
	TLS bool
	// Progress is told how a long build stands. It may be nil.
	Progress io.Writer
}

// Server is an S3 server that runs.
type Server struct {
	// Endpoint is its URL.
	Endpoint string
	// AccessKey and SecretKey are those of its one user, who may do everything.
	AccessKey, SecretKey string
	// CA is the certificate to trust, PEM-encoded. Empty without TLS.
	CA []byte
	// Dir keeps the buckets.
	Dir string

	run     string // the directory of this run: socket, log and, without Options.Dir, buckets
	gateway *program.Process
	proxy   *httptest.Server
	client  *s3.Client
	traffic traffic

	mu    sync.Mutex
	fault Fault
}

// Build returns the path of the server's binary, building it when the cache does not have it.
// A build that takes long says how it stands on progress, which may be nil.
func Build(ctx context.Context, progress io.Writer) (binary string, err error) {
	return program.Program{
		Name:   "objectstore",
		Title:  "the S3 server",
		Module: "e2e/objectstore/server",
		Takes:  "about 2 minutes and 500 packages on two cores",
	}.Build(ctx, progress)
}

// Start runs a server and returns when it serves. The context bounds the start only.
func Start(ctx context.Context, o Options) (*Server, error) {
	binary, err := Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: o.Dir, AccessKey: "test-" + rand.Text()[:12], SecretKey: rand.Text()}
	if s.run, err = os.MkdirTemp("", "sluice-s3-"); err != nil { // short: a socket's path is at most 107 bytes
		return nil, err
	}
	if s.Dir == "" {
		s.Dir = filepath.Join(s.run, "data")
	}
	s.gateway, err = program.Start(binary, filepath.Join(s.run, "objectstore.log"),
		[]string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}, "--dir="+s.Dir, "--socket="+s.socket())
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.run))
	}
	s.client = s.direct()
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.serve(o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) socket() string { return filepath.Join(s.run, "s3.sock") }

// dialer connects to the gateway itself.
func (s *Server) dialer() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", s.socket())
		},
		DisableCompression: true,
	}
}

// direct is a client that goes past the proxy.
func (s *Server) direct() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String("http://objectstore"),
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		UsePathStyle: true,
		HTTPClient:   &http.Client{Transport: s.dialer()},
	})
}

// startTimeout is a hundred times what a start takes.
const startTimeout = time.Minute

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := s.client.ListBuckets(ctx, &s3.ListBucketsInput{}, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
		if err == nil {
			return nil
		}
		select {
		case <-s.gateway.Done():
			return s.gateway.Failure()
		case <-ctx.Done():
			return fmt.Errorf("the S3 server was not ready in time: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// serve puts the proxy before the gateway.
func (s *Server) serve(o Options) error {
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.Address, "0"))
	if err != nil {
		return err
	}
	s.proxy = httptest.NewUnstartedServer(s.traffic.count(s.misbehaving(s.gate())))
	s.proxy.Config.ErrorLog = silent()
	_ = s.proxy.Listener.Close() // it made one of its own
	s.proxy.Listener = listener
	if !o.TLS {
		s.proxy.Start()
	} else {
		s.proxy.StartTLS()
		s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.proxy.Certificate().Raw})
	}
	s.Endpoint = s.proxy.URL
	return nil
}

// Stop ends the server at once, and removes its buckets if Start made their directory.
func (s *Server) Stop() error {
	if s.proxy != nil {
		_ = s.proxy.Listener.Close() // who connects again would be waited for
		s.proxy.CloseClientConnections()
		s.proxy.Close()
	}
	s.gateway.Stop()
	return os.RemoveAll(s.run)
}

// CreateBucket makes an empty bucket.
func (s *Server) CreateBucket(ctx context.Context, name string) error {
	_, err := s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	return err
}

// Put writes an object, in several parts if it is large.
func (s *Server) Put(ctx context.Context, bucket, key string, content io.Reader) error {
	b, err := s3blob.OpenBucket(ctx, s.client, bucket, nil)
	if err != nil {
		return err
	}
	w, err := b.NewWriter(ctx, key, nil)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	_, err = io.Copy(w, content)
	return errors.Join(err, w.Close(), b.Close())
}

// PutMarker writes an empty object whose name ends in a slash, as tools make them for
// directories.
func (s *Server) PutMarker(ctx context.Context, bucket, key string) error {
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key})
	return err
}

// Delete removes an object.
func (s *Server) Delete(ctx context.Context, bucket, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return err
}
