/* What the files of an executable share. */
#ifndef SINTER_EXE_H
#define SINTER_EXE_H

int exe_main(int argc, char **argv); /* the exit status */
#endif
