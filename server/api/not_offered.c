/* What clients know and this server does not offer: 501 with a sentence (rest-api 0.4). */
#include "api/handlers.h"

#include "api/respond.h"

void compile_refuse(struct http_request *r)
{
    respond_error(r, 501, RESPOND_NO_COMPILER);
}

void libraries_refuse(struct http_request *r)
{
    respond_error(r, 501, "libraries are not supported by this server");
}
