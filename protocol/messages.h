// The messages that the proxy writes or restructures, as structs; every other message is only walked (walk.h).
//
// A struct has the name of Kafka's message (`FetchRequest`), structs inside it those of Kafka's schema
// (`FetchRequest::FetchTopic`), members the newest schema's field names (`TimeoutMs` -> `timeout_ms`) and its defaults.
// A member holds the union over all versions: the table says which of them are on the wire in one version. What may be
// null in any version is a std::optional; a null that a version cannot express is written as the empty value.
// `Records` point into the buffer that was decoded (types.h). Unknown tagged fields survive in `unknown_tags`.
#pragma once

#include "protocol/messages_admin.h"
#include "protocol/messages_cluster.h"
#include "protocol/messages_data.h"
#include "protocol/messages_group.h"
#include "protocol/messages_transaction.h"
