package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Limits bound what a look at an artifact may cost.
type Limits struct {
	// Files of one artifact.
	Files int
	// Size of one artifact in bytes; 0 for no limit.
	Size int64
	// Parallel is how many files of one artifact are read at once.
	Parallel int
	// Stall is the time without progress after which a store is given up.
	Stall time.Duration
}

// DefaultLimits are right for models.
func DefaultLimits() Limits { return Limits{Files: 10_000, Parallel: 4, Stall: 30 * time.Second} }

// Inspector looks at artifacts. It remembers the sums of files that it has read, and the
// identities that this process has. Any number of looks may be under way at once.
type Inspector struct {
	limits Limits
	cache  *cache
	own    identities
}

// NewInspector makes an Inspector that has not seen anything yet.
func NewInspector(limits Limits) *Inspector { return &Inspector{limits: limits, cache: newCache()} }

// Found is an artifact as it was found.
type Found struct {
	// URI of the artifact, with a slash at its end if it stands for everything below a prefix.
	URI string
	// Digest as the package defines it.
	Digest string
	// Size of all files in bytes.
	Size int64
	// Files is how many there are; for an image, its layers.
	Files int
	// Fingerprint of names, sizes and versions: as long as it is the same, so is the digest. Empty
	// if the store gives no means to tell.
	Fingerprint string
}

// store is where the files of an artifact are.
type store interface {
	// id names the store among all others.
	id() string
	// list returns at most so many files, none if there are none, or an error of kind TooLarge.
	list(ctx context.Context, most int) (listing, error)
	// open reads a file from an offset on. It returns errChanged if the file is not the version
	// that was listed.
	open(ctx context.Context, f file, offset int64) (reader, error)
	close()
}

// Inspect looks whether an artifact is there and is what the spec says. known is what was found
// the last time, nil for nothing: if what is listed is as it was then, nothing is read.
//
// Without a digest in the spec, the one that is known counts. With an error the status holds
// what is to be known the next time, and Verified is false; where the error is temporary, the
// artifact may well be what it was.
func (i *Inspector) Inspect(ctx context.Context, a v1alpha1.Artifact, c Credentials, known *v1alpha1.ArtifactStatus) (v1alpha1.ArtifactStatus, error) {
	if known == nil {
		known = &v1alpha1.ArtifactStatus{}
	}
	before := *known
	before.Verified = false
	at, err := parse(a.URI)
	if err != nil {
		return before, err
	}
	if !schemes[at.scheme].verified {
		return v1alpha1.ArtifactStatus{}, nil
	}
	found, err := i.look(ctx, at, c, func(f Found) (string, error) {
		if a.Size != nil && f.Size != *a.Size {
			return "", errorf(Mismatch, "it has %d bytes in %s, and the ModelVersion says %d: it is not what was registered; put that back, or register what is there as another version", f.Size, files(f.Files), *a.Size)
		}
		if f.Fingerprint != "" && f.Fingerprint == known.Fingerprint {
			return known.Digest, nil
		}
		return "", nil
	})
	if err != nil {
		return before, i.finish(ctx, err, at, c)
	}
	status := v1alpha1.ArtifactStatus{Digest: found.Digest, Size: found.Size, Files: int32(found.Files), Fingerprint: found.Fingerprint}
	switch {
	case a.Digest != "" && a.Digest != found.Digest:
		return status, i.finish(ctx, errorf(Mismatch, "its digest is %s, and the ModelVersion says %s: it is not what was registered; put that back, or register what is there as another version", found.Digest, a.Digest), at, c)
	case a.Digest == "" && known.Digest != "" && known.Digest != found.Digest:
		return before, i.finish(ctx, errorf(Mismatch, "its digest is %s, and it was %s when it was first read: put back what was there then, or register what is there as another version", found.Digest, known.Digest), at, c)
	}
	status.Verified = true
	return status, nil
}

// Digest reads an artifact and returns what it found.
func (i *Inspector) Digest(ctx context.Context, uri string, c Credentials) (Found, error) {
	at, err := parse(uri)
	if err != nil {
		return Found{}, err
	}
	if !schemes[at.scheme].verified {
		return Found{}, &Error{Kind: Invalid, URI: at.uri, Message: at.scheme + ":// is not read: name the files where they are on disk, or in a store"}
	}
	found, err := i.look(ctx, at, c, func(Found) (string, error) { return "", nil })
	return found, i.finish(ctx, err, at, c)
}

// look finds out what is at a location. Before anything is read, listed is asked what it makes of
// the listing: an error ends the look, and a digest spares the reading.
func (i *Inspector) look(ctx context.Context, at location, c Credentials, listed func(Found) (string, error)) (found Found, err error) {
	defer tame(&err)
	if at.scheme == "oci" {
		if found, err = i.image(ctx, at, c); err != nil {
			return Found{}, err
		}
		_, err = listed(found)
		return found, err
	}
	s, err := i.open(ctx, at, c)
	if err != nil {
		return Found{}, err
	}
	defer s.close()
	return i.measure(ctx, s, at, listed)
}

// open makes ready to reach a location.
func (i *Inspector) open(ctx context.Context, at location, c Credentials) (store, error) {
	switch at.scheme {
	case "s3":
		return i.openS3(ctx, at, c)
	case "gs":
		return i.openGS(ctx, at, c)
	case "azblob":
		return i.openAzure(ctx, at, c)
	}
	return i.openWeb(at, c)
}

// measure lists a store and reads what has to be read.
func (i *Inspector) measure(ctx context.Context, s store, at location, listed func(Found) (string, error)) (Found, error) {
	l, err := s.list(ctx, i.limits.Files)
	if err != nil {
		return Found{}, err
	}
	if err := l.check(); err != nil {
		return Found{}, err
	}
	if len(l.files) == 0 {
		return Found{}, notFound(at)
	}
	found := Found{URI: at.uri, Size: l.size(), Files: len(l.files), Fingerprint: l.fingerprint(s.id())}
	if !l.single && !at.dir {
		found.URI += "/"
	}
	if i.limits.Size > 0 && found.Size > i.limits.Size {
		return found, errorf(TooLarge, "it has %d bytes in %s, and at most %d are read: raise the limit", found.Size, files(found.Files), i.limits.Size)
	}
	if found.Digest, err = listed(found); err != nil || found.Digest != "" {
		return found, err
	}
	sums, err := i.readAll(ctx, s, l.files)
	if err != nil {
		return found, err
	}
	found.Digest = l.digest(sums)
	return found, nil
}

// tame makes an error of a panic: the SDKs below trust stores to send what they should.
func tame(err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(errNonsense, fmt.Errorf("%v", r))
	}
}

// tooMany is for listings that are too long.
func tooMany(most int) error {
	return errorf(TooLarge, "there are more than %s: name a longer prefix, or keep only what is served", files(most))
}

// files is a number of files.
func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprint(n, " files")
}
