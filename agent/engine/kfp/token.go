package kfp

import "context"

// Audience is whom a token has to be for.
const Audience = "pipelines.kubeflow.org"

// Token gives the token for a request. It is asked each time, for tokens are renewed.
type Token func(context.Context) (string, error)
