package artifact

import (
	"context"
	"io"
	"strings"

	"gocloud.dev/blob"
)

// bucket is a store that is reached through gocloud.
type bucket struct {
	*blob.Bucket
	dialect dialect
	name    string // among all stores
	at      location
	done    func()
}

// dialect is what gocloud leaves to each of its drivers.
type dialect struct {
	// describe tells an object's name as it is in the store, what changes with its content, and
	// whether it is a mere directory.
	describe func(*blob.ListObject) (name, tag string, dir bool)
	// pin asks for the version that was listed, where the store can.
	pin func(as func(any) bool, f file)
	// tag is that of what is read.
	tag func(*blob.Reader) string
}

func (b *bucket) id() string { return b.name }

func (b *bucket) close() {
	_ = b.Bucket.Close() // it was only read
	b.done()
}

const pageSize = 1000

// list finds one object or all that is below the prefix, with as few pages as there are. It may be
// nothing.
func (b *bucket) list(ctx context.Context, most int) (listing, error) {
	var l listing
	token, seen := blob.FirstPageToken, 0
	for token != nil {
		var page []*blob.ListObject
		var err error
		if page, token, err = b.ListPage(ctx, token, pageSize, &blob.ListOptions{Prefix: b.prefix()}); err != nil {
			return listing{}, err
		}
		for _, o := range page {
			f, dir, err := b.file(o)
			switch {
			case err != nil:
				return listing{}, err
			case !b.at.dir && f.key == b.at.path:
				return listing{files: []file{f}, single: true}, nil
			case !b.at.dir && !strings.HasPrefix(f.key, b.at.path+"/"):
				return listing{}, b.sibling(ctx, f.key)
			}
			if seen++; seen > 2*most || len(l.files) == most && !dir {
				return listing{}, tooMany(most)
			}
			if !dir {
				l.files = append(l.files, f)
			}
		}
	}
	return l, nil
}

// prefix is what the names begin with that are asked for.
func (b *bucket) prefix() string {
	if b.at.dir && b.at.path != "" {
		return b.at.path + "/"
	}
	return b.at.path
}

// file is an object of a listing; dir tells that it only marks a directory.
func (b *bucket) file(o *blob.ListObject) (f file, dir bool, err error) {
	name, tag, dir := b.dialect.describe(o)
	f = file{key: o.Key, size: o.Size, tag: strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), modified: o.ModTime}
	if name != o.Key || !strings.HasPrefix(o.Key, b.prefix()) {
		// gocloud reads some characters from escapes of its own: what is then read may not be what
		// a server loads.
		return f, false, errorf(Invalid, "there is a file named %q, which is not a name of a file everywhere: name it otherwise", printable(name))
	}
	f.name = strings.TrimPrefix(strings.TrimPrefix(f.key, b.at.path), "/")
	if f.name == "" {
		f.name = f.key[strings.LastIndexByte(f.key, '/')+1:]
	}
	return f, dir || f.size == 0 && strings.HasSuffix(f.key, "/"), nil
}

// sibling is for a name that begins like that of the artifact and is not below it: an error if there is
// an artifact too.
func (b *bucket) sibling(ctx context.Context, key string) error {
	below, _, err := b.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: b.at.path + "/"})
	if err != nil || len(below) == 0 {
		return err
	}
	return errorf(Invalid, "other names begin like it (%s), and KServe would load them too: end the URI with a slash: %s/", printable(key), b.at.uri)
}

// open reads a file from an offset on.
func (b *bucket) open(ctx context.Context, f file, offset int64) (reader, error) {
	r, err := b.NewRangeReader(forFile(ctx), f.key, offset, -1, &blob.ReaderOptions{
		BeforeRead: func(as func(any) bool) error {
			b.dialect.pin(as, f)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	if tag := strings.Trim(b.dialect.tag(r), `"`); tag != f.tag {
		return nil, closing(r, errChanged)
	}
	return r, nil
}

// closing closes what is not read and returns the error.
func closing(c io.Closer, err error) error {
	_ = c.Close() // the error at hand says more
	return err
}

// valueOf is what a pointer of an SDK points at.
func valueOf[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}
