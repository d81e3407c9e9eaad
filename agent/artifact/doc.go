// Package artifact looks at trained models where they are stored: whether they are there, how
// large they are, and whether they are what was registered. It also reads short documents beside
// them, and tells what is below a prefix.
//
// What goes in: a v1alpha1.Artifact, the [Credentials] for its storage, and what was found the
// last time. What comes out: a v1alpha1.ArtifactStatus, or an [Error] that says in a sentence
// what is wrong and what to do. What it never does: write anything, read local files for a
// URI, send credentials to where a store redirects, put a credential into an error, or believe
// what a store says about a file that it has not read.
//
// # Where artifacts are
//
//	s3://bucket/key        any S3-compatible store; credentials as KServe takes them
//	gs://bucket/key        Google Cloud Storage
//	azblob://container/key Azure Blob Storage, and its https://ACCOUNT.blob.core.windows.net/container/key
//	https://host/path      one file
//	oci://registry/name    an image or artifact, by the digest of its manifest
//	pvc://, hf://          taken as they are, and not verified
//
// A URI of a bucket that ends in a slash stands for everything below it. Without a slash it
// stands for the object of exactly that name or, if there is none, for everything below it;
// then no other name may begin like it, for KServe asks the store for all that begins so, and
// would load fraud/v80 together with fraud/v8.
//
// # Digest
//
// The digest of one object is the SHA-256 of its bytes: what sha256sum prints.
//
// The digest of everything below a prefix or a directory, also if that is a single file, is the
// SHA-256 of a list with a line for each file, sorted by the bytes of the names:
//
//	<SHA-256 in hexadecimal>  <size in bytes>  <name relative to the prefix>
//
// with two spaces between the columns and a newline after each line. Empty objects whose name
// ends in a slash are markers of directories and do not count. Names have to be paths that can
// be written to a disk in just one way: no empty, "." or ".." element, no slash at an end, no
// control character, valid UTF-8. In a directory on disk, a shell computes it as
//
//	find . -type f -printf '%P\n' | LC_ALL=C sort | while IFS= read -r name; do
//	  printf '%s  %s  %s\n' "$(sha256sum <"$name" | cut -c1-64)" "$(stat -c %s "$name")" "$name"
//	done | sha256sum
//
// The digest of an image is that of its manifest, which names the digests of all that is in it;
// its size is that of its layers.
//
// # Cost
//
// A look lists. Only if what is listed (names, sizes, ETags or generations, times) is not what
// it was at the last look are files read, and of those only the ones that changed, for their
// hashes are kept in memory. Each file is read once, from beginning to end, through one buffer;
// a connection that breaks goes on where it broke. Each answer names the version of the file
// that was listed, or the file counts as changed while it was read. So memory does not grow with
// the size of a model, and a look that ran out of time begins the next time with what it missed.
//
// # Limits
//
// Stores and what is in them are not trusted. The number of files, the size of an answer that
// is not a file, the number of requests and the time without progress have upper bounds; a file
// that is longer than listed is not read to its end. The whole time is bounded by the context.
package artifact
