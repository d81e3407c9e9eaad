// Package objectstore is a real S3 server on loopback, for tests and demos: versitygw, built
// from its Go module, which keeps objects as files of a directory.
//
//	s, err := objectstore.Start(ctx, objectstore.Options{})
//	defer s.Stop()
//	err = s.CreateBucket(ctx, "models")
//	err = s.Put(ctx, "models", "fraud/v8/model.bin", strings.NewReader("…"))
//	// read at s.Endpoint with s.AccessKey and s.SecretKey, path style
//
// Start builds the command in e2e/objectstore/server when it is not in the cache, which takes
// some two minutes the first time (see package program). Any number of servers run side by
// side. Each ends with Stop, or with the process that started it, however that dies.
//
// Clients reach the server through a proxy, which counts what they ask for (Traffic), so that
// a test can tell that nothing was read, and which can be told to misbehave (Misbehave):
// refuse, fall silent, trickle, break off, go on for ever. What CreateBucket, Put and Delete do
// goes past the proxy: it is neither counted nor disturbed.
//
// What it never does: listen on anything but loopback unless it is told to.
package objectstore
