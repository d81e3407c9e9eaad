// Package bucket reads and writes objects of a store that speaks S3, with the standard library
// alone, so that the images of the programs that tests run on a node stay small.
//
//	store := bucket.Open(os.Getenv)
//	name, key, err := bucket.Parse("s3://models/fraud/v8/model.json")
//	content, err := store.Get(ctx, name, key, 16<<20)
//
// It is told where the store is, and who asks, by the variables that every client of S3 reads:
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (without them it asks as nobody), AWS_SESSION_TOKEN,
// AWS_REGION or AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL. Buckets are in the path
// of a URL, as stores other than Amazon's have them. What it never does: try again.
package bucket
