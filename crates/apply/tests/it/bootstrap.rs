//! Putting a program on a host and becoming it, over real shells. The program here is a script that speaks no protocol:
//! it only shows that it was started.
