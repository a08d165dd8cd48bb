#include "comm/loopback_listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/errors.h"

namespace titan::comm {
namespace {

struct Address {
  sockaddr_storage bytes = {};
  socklen_t size = 0;
  int family() const { return bytes.ss_family; }
};

Address address_of(const addrinfo& found) {
  Address address;
  address.size = found.ai_addrlen;
  std::memcpy(&address.bytes, found.ai_addr, found.ai_addrlen);
  return address;
}

/// Also of "any address", by which a client reaches its own machine: that becomes the loopback address.
bool make_loopback(Address& address) {
  if (address.family() == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.bytes);
    if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ntohl(v4.sin_addr.s_addr) >> 24U == 127;
  }
  if (address.family() != AF_INET6) return false;
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.bytes);
  if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) v6.sin6_addr = in6addr_loopback;
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

/// What `host` means, IPv4 first: its names are in /etc/hosts, so that the store's server, which looks up the name of
/// everybody who connects, asks no name server. Empty where one of them is no loopback address.
std::vector<Address> loopback_addresses(const std::string& host, std::uint16_t port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<Address> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Address address = address_of(*one);
    if (!make_loopback(address)) return {};
    addresses.insert(address.family() == AF_INET ? addresses.begin() : addresses.end(), address);
  }
  return addresses;
}

}  // namespace

base::Descriptor loopback_listener(const std::string& host, std::uint16_t port) {
  for (const Address& address : loopback_addresses(host, port)) {
    base::Descriptor listener(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener.is_open()) continue;
    const int yes = 1;  // a job that has just ended holds the port no longer
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    const auto* generic = reinterpret_cast<const sockaddr*>(&address.bytes);
    if (::bind(listener.get(), generic, address.size) == 0) return listener;
    if (errno == EADDRINUSE) throw RunError("EADDRINUSE: the port is taken");
  }
  return base::Descriptor();
}

}  // namespace titan::comm
